"""``synthseg group``: gather what exists of a derivative dataset into group tables; no scan is needed."""

from __future__ import annotations

import argparse
from pathlib import Path

from synthseg_core.grouping import SCANS_NAME, gather, write_group_tables
from synthseg_core.scans import read_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="derivative dataset; the tables go to its top")
    parser.add_argument("--scans", type=Path, metavar="TSV", help="scan table (default: DATASET/work/scans.tsv)")


def run(args: argparse.Namespace) -> int:
    """Write the tables; scans that failed are listed in them and do not change the exit status."""
    tables = gather(read_table(args.scans or args.dataset / "work" / "scans.tsv"), args.dataset)
    write_group_tables(tables, args.dataset)
    print(", ".join(f"{count} {status}" for status, count in tables.counts().items()) or "no scans")
    print(f"see {args.dataset / SCANS_NAME}.tsv")
    return 0
