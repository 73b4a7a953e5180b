"""``synthseg report``: pages to look at, made from derivatives: one for each scan, and one for a whole dataset."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from synthseg_core.errors import UsageError
from synthseg_core.labels.structures import PALETTES
from synthseg_core.reports import QUALITY_THRESHOLD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument(
        "label_maps",
        nargs="*",
        type=Path,
        metavar="LABEL_MAP",
        help="sub-*_seg-synthseg_dseg.nii.gz in a derivative dataset; a page for each goes to the top of the dataset",
    )
    parser.add_argument("--scan", type=Path, metavar="IMAGE", help="the scan (default: where the sidecar says it is)")
    parser.add_argument("--group", type=Path, metavar="DATASET", help="the page about all scans, from the group tables")
    parser.add_argument(
        "--qc-threshold",
        type=float,
        default=QUALITY_THRESHOLD,
        metavar="DICE",
        help="scores below it are marked (default: %(default)s)",
    )
    parser.add_argument(
        "--palette", choices=PALETTES, default=PALETTES[0], help="colours of structures (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="pages at once (default: %(default)s)")
    parser.add_argument("--viewer", action="store_true", help="an interactive viewer behind a button of each page")


def run(args: argparse.Namespace) -> int:
    """Write the pages and print where they are."""
    if bool(args.label_maps) == bool(args.group):
        raise UsageError("report", found="label maps and --group" if args.group else "neither label maps nor --group",
                         expected="one of the two", remedy="give LABEL_MAP ... or --group DATASET")  # fmt: skip
    if args.scan and len(args.label_maps) != 1:
        raise UsageError("--scan", found=f"{len(args.label_maps)} label maps", expected="one", remedy="leave it out")
    if args.group:
        from synthseg_core.reports.group_facts import GroupFacts
        from synthseg_core.reports.group_report import write_group_report

        facts = GroupFacts(args.group)
        print(write_group_report(facts, args.qc_threshold))
        for note in facts.notes:
            print(note, file=sys.stderr)
        return 0
    from synthseg_core.reports.scan_facts import ScanFacts
    from synthseg_core.reports.scan_report import ReportOptions, write_scan_report, write_scan_reports

    options = ReportOptions(args.palette, args.qc_threshold, args.viewer)
    known = [ScanFacts.of_label_map(path) for path in args.label_maps]
    if len(known) == 1:
        print(write_scan_report(known[0], args.scan or known[0].scan(), options))
        return 0
    failed = 0
    for facts, reason in write_scan_reports([(facts, facts.scan()) for facts in known], options, args.jobs):
        print(reason or facts.page, file=sys.stderr if reason else sys.stdout, flush=True)
        failed += bool(reason)
    return int(bool(failed))
