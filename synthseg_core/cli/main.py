"""Entry point of ``synthseg``: picks the subcommand and turns errors into exit status.

Exit status: 0 all well; 1 finished but some scans failed, or an unknown error with its traceback; 2 usage,
configuration, or a known error of the only scan; 130 interrupted; 141 when nobody reads standard output any more, as in
``synthseg models list | head``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from synthseg_core.errors import SynthSegError
from synthseg_core.resources import resource
from synthseg_core.system.command_line import Parser, read_foreign_options
from synthseg_core.system.signals import open_standard_streams, run_for_reader

# name -> (module in this package, one line for the overview); modules are imported only when chosen.
COMMANDS = {
    "segment": ("segment", "segment one scan, with outputs of your choice"),
    "parcellate": ("parcellate", "divide the cortex of a segmented scan into parcels"),
    "qc": ("qc", "predict the quality of a segmentation, by group of structures"),
    "merge": ("merge", "put the tissues of the whole head around a segmentation of the brain"),
    "resample": ("resample", "write a scan at 1 mm, on the grid of the label maps at 1 mm"),
    "predict": ("dropin.predict", "drop-in for the SynthSeg command: same flags, names and numbers"),
    "siam": ("dropin.siam", "drop-in for the SIAM command: tissues of the whole head, same flags and names"),
    "dataset": ("dropin.dataset", "segment every scan listed in a CSV, resumable"),
    "group": ("group", "gather per-scan tables into group tables"),
    "report": ("report", "pages to look at: one for each scan, and one for a dataset"),
    "serve": ("serve", "keep models loaded and run commands for 'synthseg --worker SOCKET'"),
    "describe": ("describe", "write the files that describe a derivative dataset"),
    "models": ("models", "list, fetch, verify, locate and import models"),
    "generate": ("generate", "make synthetic scans from label maps, with a contact sheet"),
    "priors": ("priors", "estimate intensity priors from scans and their label maps"),
    "train": ("train", "train a network on label maps"),
    "validate": ("validate", "score a model on held-out synthetic scans and on labelled scans"),
    "evaluate": ("evaluate", "compare segmentations with reference label maps, and models with one another"),
    "translate": ("translate.actions", "translate images between two contrasts: datasets of two domains"),
    "bench": ("bench", "time and memory on your machine, kept and compared"),
    "labels": ("labels", "lists of one's own label maps, and classes for unlabelled voxels"),
}

# Read when torch is loaded or first allocates. Large pages spare an inference a tenth of its time; threads that sleep
# while they wait spare a tenth of its processor time on a machine that is shared with other jobs.
_TORCH_SETTINGS = {"THP_MEM_ALLOC_ENABLE": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; only ``command``'s own arguments are filled in, the others stay one-line entries."""
    from synthseg_core import __version__

    parser = Parser(prog="synthseg", description="Segment brain scans of any contrast and resolution.")
    parser.add_argument(
        "--worker", metavar="SOCKET", help="let the worker there run the command, if there is one; the first argument"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == command:
            importlib.import_module(f"synthseg_core.cli.{module}").add_arguments(subparser)
            table = resource("options", f"{name}.tsv")  # of commands that other programs have as well
            subparser.foreign = read_foreign_options(table) if table.is_file() else ()
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    open_standard_streams()
    for variable, value in _TORCH_SETTINGS.items():
        os.environ.setdefault(variable, value)
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--worker"] and len(words) > 1:
        return _with_worker(words[1], words[2:])
    return run_for_reader(lambda: _main(words))


def _with_worker(address: str, words: list[str]) -> int:
    """Let a worker run the command; without one it runs here."""
    from synthseg_core.cli.worker.client import run_in_worker

    try:
        status = run_in_worker(address, words)
    except KeyboardInterrupt:
        print(f"synthseg {words[0]}: interrupted", file=sys.stderr)
        return 130
    return main(words) if status is None else status


def _main(arguments: list[str]) -> int:
    command = next((word for word in arguments if not word.startswith("-")), None)
    parser = build_parser(command)
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    options = parser.parse_args(arguments, argparse.Namespace(words=arguments))
    module = importlib.import_module(f"synthseg_core.cli.{COMMANDS[options.command][0]}")
    try:
        return module.run(options)
    except SynthSegError as error:
        print(f"synthseg {options.command}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"synthseg {options.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
