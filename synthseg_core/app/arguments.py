"""Command line of ``synthseg-bids``, and the workflow configuration that it asks for."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from synthseg_core import __version__
from synthseg_core.models import default_model
from synthseg_core.presence import is_file

_EPILOG = """\
exit status: 0 all well; 1 finished, but some scans failed; 2 usage, configuration, no input, or a known error of the
only scan; 130 interrupted. Run the same command again to continue after any of them.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="synthseg-bids",
        description="Segment the brain scans of a BIDS dataset, or of a folder, into a BIDS derivative dataset.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("bids_dir", type=Path, help="BIDS dataset, or a folder of scans")
    parser.add_argument("output_dir", type=Path, help="derivative dataset to write")
    parser.add_argument(
        "analysis_level",
        choices=("participant", "group"),
        help="participant: segment, then gather (unless participants or sessions are selected); "
        "group: gather what exists, without the scans",
    )
    _add_selection(parser)
    _add_segmentation(parser)
    _add_machine(parser)
    return parser


def config_values(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the command line says about the configuration; the schema supplies the rest."""
    segment = {
        "model": _absolute_card(args.model),
        "weights": str(args.weights.absolute()) if args.weights else None,
        "fast": args.fast,
        "ct": args.ct,
    }
    values = {
        "input": str(args.bids_dir.absolute()),
        "output": str(args.output_dir.absolute()),
        "work": str(args.work_dir.absolute()) if args.work_dir else None,
        "suffixes": args.suffixes,
        "participants": args.participant_label,
        "sessions": args.session_label,
        "device": args.device,
    }
    given = {key: value for key, value in values.items() if value is not None}
    return {**given, "segment": {key: value for key, value in segment.items() if value is not None}}


def _add_selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which scans")
    group.add_argument(
        "--participant-label", "--participant_label", nargs="+", metavar="LABEL", type=_without("sub-"),
        help="participants, with or without sub-",
    )  # fmt: skip
    group.add_argument(
        "--session-label", "--session_label", nargs="+", metavar="LABEL", type=_without("ses-"),
        help="sessions, with or without ses-",
    )  # fmt: skip
    group.add_argument("--suffixes", nargs="+", metavar="SUFFIX", help="kinds of scans (default: T1w T2w FLAIR ...)")


def _add_segmentation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("segmentation")
    group.add_argument(
        "--model", metavar="NAME|CARD", help=f"registered model or model card (default: {default_model()})"
    )
    group.add_argument("--weights", type=Path, metavar="DIR", help="folder that holds the model's weights")
    group.add_argument("--fast", action="store_true", help="no flip averaging and no topological clean-up")
    group.add_argument("--ct", action="store_true", help="the scans are CT")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument("--device", metavar="auto|cpu|cuda|mps", help="where the network runs (default: auto)")
    group.add_argument(
        "--n-cpus", type=_positive, default=_cpus(), metavar="N", help="CPU cores (default: %(default)s)"
    )
    group.add_argument("-w", "--work-dir", type=Path, metavar="DIR", help="work folder (default: OUTPUT_DIR/work)")
    group.add_argument(
        "--profile", default="default", metavar="NAME|DIR", help="Snakemake profile of this machine (default: default)"
    )
    group.add_argument("-n", "--dry-run", action="store_true", help="show what would be done")
    group.add_argument("--unlock", action="store_true", help="continue a run that was killed on another computer")


def _without(prefix: str):
    def label(text: str) -> str:
        return text.removeprefix(prefix)

    return label


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return number


def _cpus() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _absolute_card(model: str | None) -> str | None:
    """Make the path of a card absolute, since Snakemake runs elsewhere; names of models stay."""
    return str(Path(model).absolute()) if model and is_file(Path(model)) else model
