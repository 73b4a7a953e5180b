"""``synthseg describe``: write the files that describe a derivative dataset as a whole."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from synthseg_core import __version__
from synthseg_core.description import DatasetFacts, write_dataset_files
from synthseg_core.models import load_card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="derivative dataset")
    parser.add_argument("--model", required=True, metavar="NAME|CARD", help="model that makes the segmentations")
    parser.add_argument("--source", type=Path, required=True, metavar="DIR", help="dataset of the scans")


def run(args: argparse.Namespace) -> int:
    """Write the files."""
    dataset: Path = args.dataset
    source: Path = args.source
    facts = DatasetFacts(load_card(args.model), Path(os.path.relpath(source, dataset)).as_posix(), __version__)
    write_dataset_files(dataset, facts)
    return 0
