"""Command line of ``synthseg-bids``, and the workflow configuration that it asks for."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from synthseg_core import __version__
from synthseg_core.app.machine import available_cores
from synthseg_core.bids.search import LAYOUTS
from synthseg_core.models.registry import default_model
from synthseg_core.resources import resource
from synthseg_core.system.command_line import Parser, Several, read_foreign_options
from synthseg_core.system.paths import is_file

# A number without a unit below this is likely to mean gigabytes.
_LEAST_BARE_MEGABYTES = 500

OPTION_NAMES = {
    "input": "bids_dir",
    "output": "output_dir",
    "work": "--work-dir",
    "participants": "--participant-label",
    "exclude_participants": "--exclude-participant-label",
    "sessions": "--session-label",
    "bids_database": "--bids-database-dir",
    "segment.model": "--model",
    "qc.threshold": "--qc-threshold",
    "merge_head.model": "--merge-head",
    **{
        key: f"--{key.replace('_', '-')}"
        for key in ("layout", "path_column", "datatypes", "suffixes", "bids_filter_file", "derivatives", "device")
    },
}
"""Arguments that set keys of the configuration, by key: what messages call them."""

_EPILOG = """\
exit status: 0 all well; 1 finished, but some scans failed or were skipped, or a label is not there; 2 usage,
configuration, no input, or a known error of the only scan; 130 interrupted. Run the same command again to continue
after any of them.
options of fMRIPrep, MRIQC, snakebids and others are understood, or answered with what to do: docs/commands.md.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of a run; see :func:`build_status_parser` for ``synthseg-bids status``."""
    parser = Parser(
        prog="synthseg-bids",
        usage="synthseg-bids BIDS_DIR OUTPUT_DIR {participant,group} [options] [-- SNAKEMAKE OPTIONS]\n"
        "       synthseg-bids status OUTPUT_DIR",
        description="Segment the brain scans of a BIDS dataset, a folder or a table into a BIDS derivative dataset.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.foreign = read_foreign_options(resource("options", "synthseg-bids.tsv"))
    parser.order = "BIDS_DIR OUTPUT_DIR participant|group come first, lists last; participant gathers as well"
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("bids_dir", type=Path, help="BIDS dataset, a folder of scans, or a CSV/TSV table of scans")
    parser.add_argument("output_dir", type=Path, help="derivative dataset to write")
    parser.add_argument(
        "analysis_level",
        choices=("participant", "group"),
        help="participant: segment, then gather (unless participants or sessions are selected); "
        "group: gather what exists, without the scans",
    )
    _add_selection(parser)
    _add_search(parser)
    _add_segmentation(parser)
    _add_machine(parser)
    _add_run(parser)
    return parser


def build_status_parser() -> argparse.ArgumentParser:
    """Return the parser of ``synthseg-bids status``."""
    parser = Parser(
        prog="synthseg-bids status", description="Say what is done, failed and missing; a run may be going on."
    )
    parser.add_argument("output_dir", type=Path, metavar="OUTPUT_DIR", help="derivative dataset")
    parser.add_argument("-w", "--work-dir", type=Path, metavar="DIR", help="work folder (default: OUTPUT_DIR/.work)")
    return parser


def split_off_snakemake(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words before the first ``--``, which are ours, and those after it, which are Snakemake's."""
    if "--" not in words:
        return list(words), []
    at = list(words).index("--")
    return list(words[:at]), list(words[at + 1 :])


def config_values(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the command line says about the configuration; the schema supplies the rest."""
    values = {
        "input": _absolute(args.csv or args.bids_dir),
        "output": _absolute(args.output_dir),
        "work": _absolute(args.work_dir),
        "layout": "table" if args.csv else args.layout,
        "path_column": args.path_column,
        "datatypes": args.datatypes,
        "suffixes": args.suffixes,
        "bids_filter_file": _absolute(args.bids_filter_file),
        "bids_database": _absolute(args.bids_database_dir),
        "derivatives": [_absolute(folder) for folder in args.derivatives] if args.derivatives else None,
        "participants": _without("sub-", args.participant_label),
        "sessions": _without("ses-", args.session_label),
        "exclude_participants": _without("sub-", args.exclude_participant_label),
        "device": args.device,
        "worker": False if args.no_worker else None,
        "segment": {
            "model": _absolute_card(args.model),
            "weights": _absolute(args.weights),
            "fast": args.fast,
            "ct": args.ct,
            "posteriors": args.save_posteriors,
            "folds": args.folds,
            "mode": args.mode,
            "voxel_scale": args.voxel_scale,
            "skip_resampling": args.skip_resampling or None,
            "autocrop": args.autocrop or None,
            "translate_before": _absolute(args.translate_before),
            "translate_to": args.translate_to,
        },
        "resample": {"enabled": args.save_resampled},
        "parcellate": {"enabled": args.parc},
        "qc": {"enabled": args.qc, "threshold": args.qc_threshold},
        "merge_head": {"model": _absolute_card(args.merge_head)},
        "report": {"enabled": False if args.no_reports else None, "viewer": args.report_viewer or None},
    }
    return _given(values)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the command line does not say."""
    said = {key: value for key, value in values.items() if value is not None}
    return {key: _given(cast(dict[str, Any], v)) if isinstance(v, dict) else v for key, v in said.items()}


def _absolute(path: Path | None) -> str | None:
    return str(path.absolute()) if path is not None else None


def _add_selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which scans (lists with spaces or commas)")
    group.add_argument(
        "--participant-label", nargs="+", action=Several, metavar="LABEL", help="participants, with or without sub-"
    )
    group.add_argument(
        "--exclude-participant-label", nargs="+", action=Several, metavar="LABEL", help="participants that are left out"
    )
    group.add_argument(
        "--session-label", nargs="+", action=Several, metavar="LABEL", help="sessions, with or without ses-"
    )
    group.add_argument(
        "--suffixes", nargs="+", action=Several, metavar="SUFFIX", help="kinds of scans (default: T1w T2w FLAIR ...)"
    )


def _add_search(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where scans are looked for")
    group.add_argument("--csv", type=Path, metavar="FILE", help="take the scans of this table instead of BIDS_DIR's")
    group.add_argument("--path-column", metavar="NAME", help='column of the table with the paths (default: "path")')
    group.add_argument("--layout", choices=LAYOUTS, help="how the input is organised (default: auto)")
    group.add_argument(
        "--datatypes", nargs="+", action=Several, metavar="NAME", help="folders of a BIDS dataset (default: anat)"
    )
    group.add_argument(
        "--bids-filter-file", type=Path, metavar="FILE", help='filters, JSON or YAML; null: absent, "*": present'
    )
    group.add_argument(
        "--bids-database-dir", type=Path, metavar="DIR", help="saved pybids index, made if it is not there"
    )
    group.add_argument(
        "--derivatives",
        type=_derivative,
        nargs="+",
        action="extend",
        metavar="DIR",
        help="derivative datasets to search too, also as NAME=DIR",
    )
    group.add_argument("--skip-bids-validation", action="store_true", help="do not call the BIDS validator")


def _add_segmentation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("segmentation")
    group.add_argument(
        "--model", metavar="NAME|CARD", help=f"registered model or model card (default: {default_model()})"
    )
    group.add_argument("--weights", type=Path, metavar="DIR", help="folder that holds the model's weights")
    group.add_argument("--fast", action="store_true", help="no flip averaging and no topological clean-up")
    group.add_argument("--ct", action="store_true", help="the scans are CT")
    group.add_argument(
        "--autocrop", action="store_true", help="work on the brain and a margin, which a coarse network finds first"
    )
    group.add_argument("--folds", type=int, nargs="+", metavar="N", help="folds of a model such as SIAM (default: all)")
    group.add_argument("--mode", choices=("exact", "float32"), help="sums of such models (default: exact)")
    group.add_argument(
        "--voxel-scale", type=float, metavar="FACTOR", help="show such models a head this much larger; 1.4 for newborns"
    )
    group.add_argument(
        "--skip-resampling", action="store_true", help="show such models isotropic voxels of 0.6 to 1 mm as they are"
    )
    group.add_argument(
        "--translate-before", type=Path, metavar="CARD", help="segment translations of the scans by this translator"
    )
    group.add_argument("--translate-to", metavar="NAME", help="contrast to translate them to, which the model knows")
    group.add_argument("--parc", action="store_true", help="parcels of the cerebral cortex")
    group.add_argument("--qc", action="store_true", help="quality scores")
    group.add_argument(
        "--qc-threshold", type=float, metavar="SCORE", help="flag scans with a score below (default: 0.65)"
    )
    group.add_argument(
        "--merge-head",
        metavar="NAME|CARD",
        help="tissues of the head around the segmentation, as this model labels them",
    )
    group.add_argument("--no-reports", action="store_true", help="no pages to look at")
    group.add_argument(
        "--report-viewer", action="store_true", help="an interactive viewer in the page of each scan, 3 MB a scan"
    )
    group.add_argument("--save-posteriors", action="store_true", help="keep posterior probabilities, at 1 mm")
    group.add_argument("--save-resampled", action="store_true", help="keep the scans at 1 mm")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument("--device", metavar="auto|cpu|cuda|mps", help="where the network runs (default: auto)")
    group.add_argument(
        "--n-cpus",
        type=_cores,
        default=available_cores(),
        metavar="N",
        help="CPU cores for all jobs together (default: all)",
    )
    group.add_argument(
        "--mem",
        type=_megabytes,
        metavar="SIZE",
        help="memory for all jobs together, such as 32G; a number alone is MB, as in fMRIPrep (default: all)",
    )
    group.add_argument("-w", "--work-dir", type=Path, metavar="DIR", help="work folder (default: OUTPUT_DIR/.work)")
    group.add_argument(
        "--profile", default="default", metavar="NAME|DIR", help="Snakemake profile of this machine (default: default)"
    )
    group.add_argument("--no-worker", action="store_true", help="a process a scan instead of one that stays warm")


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("-n", "--dry-run", action="store_true", help="show what would be done")
    group.add_argument("-v", "--verbose", action="store_true", help="show what Snakemake says, too")
    group.add_argument(
        "--reports-only", action="store_true", help="nothing but the pages again, from the results that are there"
    )
    group.add_argument("--rerun", action="store_true", help="make again what is there already")
    group.add_argument("--stop-on-first-crash", action="store_true", help="start no more scans after a failure")
    group.add_argument("--no-wait", action="store_true", help="shards on SLURM: submit them and return")
    group.add_argument("--unlock", action="store_true", help="continue a run that was killed on another computer")


def _without(prefix: str, labels: Sequence[str] | None) -> list[str] | None:
    """Return labels without the key of their entity, each once."""
    return None if labels is None else list(dict.fromkeys(label.removeprefix(prefix) for label in labels))


def _derivative(text: str) -> Path:
    """Return the folder, which may come after a name as in ``smriprep=/data/smriprep``."""
    name, equals, folder = text.partition("=")
    return Path(folder if equals and folder and re.fullmatch(r"[\w.-]+", name) and not Path(text).exists() else text)


def _cores(text: str) -> int:
    """Read a number of cores, or ``all``."""
    if text == "all":
        return available_cores()
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number of cores, 1 or more, or all")
    return int(text)


def _megabytes(text: str) -> int:
    """Read a size such as ``32G``, ``16 GB``, ``16GiB``, ``16000M``; a number alone is MB."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([kmgt])(i?)b?|b)?", text.strip().lower())
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a size such as 32G, or 32000, which is MB")
    number, unit, binary = float(match[1]), match[2] or "m", match[3]
    if match[2] is None and number < _LEAST_BARE_MEGABYTES:
        raise argparse.ArgumentTypeError(
            f"found {match[1]}, which is {match[1]} MB; expected {_LEAST_BARE_MEGABYTES} MB or more for a scan; "
            f"for gigabytes write {match[1]}G"
        )
    power = " kmgt".index(unit)
    return max(1, round(number * ((1024**power if binary else 1000**power) / 1e6)))


def _absolute_card(model: str | None) -> str | None:
    """Make the path of a card absolute, since Snakemake runs elsewhere; names of models stay."""
    return str(Path(model).absolute()) if model and is_file(Path(model)) else model
