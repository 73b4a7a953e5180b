"""``synthseg group``: gather what exists of a derivative dataset into group tables; no scan is needed."""

from __future__ import annotations

import argparse
from pathlib import Path

from synthseg_core.bids.names import STAGES
from synthseg_core.bids.own_folders import work_folder
from synthseg_core.bids.participants import departed
from synthseg_core.bids.scan_table import read_table
from synthseg_core.errors import UsageError
from synthseg_core.reports import QUALITY_THRESHOLD, SCANS_NAME, gather, write_group_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="derivative dataset; the tables go to its top")
    parser.add_argument("--scans", type=Path, metavar="TSV", help="scan table (default: DATASET/.work/scans.tsv)")
    parser.add_argument(
        "--stages", nargs="+", choices=STAGES, default=["segment"], metavar="STAGE", help=f"of {', '.join(STAGES)}"
    )
    parser.add_argument(
        "--qc-threshold",
        type=float,
        default=QUALITY_THRESHOLD,
        metavar="DICE",
        help="scores below it are flagged, never left out (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the tables; scans that failed are listed in them and do not change the exit status."""
    if not 0 <= args.qc_threshold <= 1:
        raise UsageError("--qc-threshold", found=f"{args.qc_threshold:g}", expected="0 to 1", remedy="correct it")
    rows = read_table(args.scans or work_folder(args.dataset) / "scans.tsv")
    tables = gather(rows, args.dataset, [stage for stage in STAGES if stage in args.stages])
    notes = write_group_tables(tables, args.dataset, threshold=args.qc_threshold)
    for line in (*notes, *departed(args.dataset, rows)):
        print(line)
    print(", ".join(f"{count} {status}" for status, count in tables.counts().items()))
    if tables.doubtful:
        print(f"{tables.doubtful} with warnings")
    print(f"see {args.dataset / SCANS_NAME}.tsv")
    return 0
