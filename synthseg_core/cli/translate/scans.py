"""``synthseg translate scans``: many scans in another contrast, as a BIDS derivative dataset with their labels."""

from __future__ import annotations

import argparse
from pathlib import Path

from synthseg_core.cli.translate.apply import add_translator_options, read_translator_options
from synthseg_core.system.words import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "scans",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="BIDS datasets, folders, tables (CSV, TSV) or single scans, of one domain",
    )
    parser.add_argument(
        "--filter", nargs="+", default=[], metavar="KEY=LABEL", help="entities of the scans, such as suffix=T1w"
    )
    parser.add_argument(
        "--labels", nargs="+", type=Path, metavar="PATH", help="their label maps, in the same sorted order; copied"
    )
    add_translator_options(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="derivative dataset; what is there already is kept"
    )


def run(args: argparse.Namespace) -> int:
    """Find the scans, translate them, copy their labels."""
    from synthseg_core.system.progress import CountLine
    from synthseg_core.translation.derivative import jobs_of, translate_dataset

    scans = _scans(args)
    labels = None if args.labels is None else _labels(scans, args.labels)
    translator, options = read_translator_options(args)
    jobs = jobs_of(scans, labels, translator.target.name)
    with CountLine("translating") as progress:
        made = translate_dataset(jobs, translator, options, args.out, progress)
    print(f"{args.out}: {counted(made, 'scan')} translated, {len(jobs) - made} kept")
    return 0


def _scans(args: argparse.Namespace) -> list[Path]:
    from synthseg_core.translation.sources import Wanted, find_sources

    entities = dict(word.partition("=")[::2] for word in args.filter)
    found = find_sources(Wanted("scans", tuple(args.scans), entities, exclude=(args.out, *(args.labels or ()))))
    return sorted(source.path for source in found.sources)


def _labels(scans: list[Path], labels: list[Path]) -> list[Path]:
    """Return the label map of each scan; names that disagree are refused."""
    from synthseg_core.images.pairs import paired

    return [case.label_map for case in paired(scans, labels)]
