"""Command line of the demonstration: ``python -m synthseg_core.cli.demo dataset|phantoms|heads|picture|weights``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from synthseg_core.cli.demo import phantoms, template
from synthseg_core.cli.demo.heads import write_heads, write_scans
from synthseg_core.cli.demo.parcels import write_parcel_heads
from synthseg_core.errors import SynthSegError
from synthseg_core.models.registry import DEFAULT_MODEL, load_card
from synthseg_core.reports.picture import DOTS_PER_INCH, expectation, write_picture
from synthseg_core.system.command_line import Parser


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = Parser(prog="python -m synthseg_core.cli.demo", description="The parts of make demo.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    dataset = actions.add_parser("dataset", help="write a BIDS dataset made from a template")
    dataset.add_argument("folder", metavar="FOLDER", type=Path)
    tiny = actions.add_parser("phantoms", help="write a BIDS dataset of tiny phantoms")
    tiny.add_argument("folder", metavar="FOLDER", type=Path)
    labelled = actions.add_parser("heads", help="write label maps of phantom heads, to try training on")
    labelled.add_argument("folder", metavar="FOLDER", type=Path)
    labelled.add_argument("--count", type=int, default=4, metavar="N")
    labelled.add_argument("--voxel-size", type=float, default=1.0, metavar="MM")
    labelled.add_argument("--parcels", action="store_true", help="divide the cortex, and write the label list, too")
    labelled.add_argument("--scans", type=Path, metavar="DIR", help="also write a T1-weighted scan of each")
    picture = actions.add_parser("picture", help="draw the segmented scans of a derivative dataset")
    picture.add_argument("derivatives", metavar="DERIVATIVES", type=Path)
    picture.add_argument("png", metavar="PNG", type=Path)
    picture.add_argument("--dots-per-inch", type=int, default=DOTS_PER_INCH, metavar="N", help="of 15 inches of width")
    weights = actions.add_parser("weights", help="say which weights a model has and what to expect of them")
    for parser_ in (picture, weights):
        parser_.add_argument("--model", metavar="NAME", default=DEFAULT_MODEL)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Do one part and return the exit status."""
    options = build_parser().parse_args(argv)
    try:
        return _act(options)
    except SynthSegError as error:
        sys.stderr.write(f"synthseg_core.cli.demo: error: {error}\n")
        return 2


def _act(options: argparse.Namespace) -> int:
    if options.action in ("dataset", "phantoms"):
        source = template if options.action == "dataset" else phantoms
        written = [str(path) for path in source.write_dataset(options.folder)]
    elif options.action == "heads":
        written = [str(path) for path in _write_heads(options)]
    elif options.action == "picture":
        write_picture(options.derivatives, load_card(options.model), options.png, dots_per_inch=options.dots_per_inch)
        written = [str(options.png)]
    else:
        card = load_card(options.model)
        written = ["Weights of this demonstration:", *(f"  {line}" for line in expectation(card)), card.notes]
    sys.stdout.write("\n".join(written) + "\n")
    return 0


def _write_heads(options: argparse.Namespace) -> list[Path]:
    if options.parcels:
        return write_parcel_heads(options.folder, options.count, options.voxel_size)
    maps = write_heads(options.folder, options.count, options.voxel_size)
    return [*maps, *(write_scans(maps, options.scans) if options.scans else ())]


if __name__ == "__main__":
    sys.exit(main())
