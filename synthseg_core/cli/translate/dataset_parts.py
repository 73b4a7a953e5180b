"""What both kinds of datasets of ``synthseg translate dataset`` share: splits, what failed, what was written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from synthseg_core.errors import Failure
from synthseg_core.system.words import counted

if TYPE_CHECKING:
    from synthseg_core.translation.dataset import Stack

_COMMAND = "synthseg translate dataset"


def add_splits(group: argparse._ArgumentGroup) -> None:
    """Add the options of splits."""
    group.add_argument(
        "--ratios",
        nargs=3,
        type=float,
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the subjects (default: 0.8 0.1 0.1)",
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of the splits (default: %(default)s)")
    group.add_argument(
        "--split-by", choices=("subject", "site"), default="subject", help="what stays together (default: %(default)s)"
    )
    group.add_argument(
        "--site-column", default="site", metavar="NAME", help="in participants.tsv (default: %(default)s)"
    )
    group.add_argument("--splits", type=Path, metavar="TSV", help="instead: columns participant_id and split")


def splits_of(args: argparse.Namespace, subjects: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Return the split of each subject of both domains: as a table says, or drawn."""
    from synthseg_core.translation.sources import sites_of
    from synthseg_core.translation.splits import Ratios, draw_splits, read_splits, require_train

    everybody = {subject for members in subjects.values() for subject in members}
    if args.splits:
        split_of = read_splits(args.splits, everybody)
    else:
        paths = [Path(path) for words in args.domain for path in words[1:]]
        sites = sites_of(paths, everybody, args.site_column) if args.split_by == "site" else None
        split_of = draw_splits(subjects, Ratios(*args.ratios or ()), args.seed, sites)
    require_train(subjects, split_of)
    return split_of


def split_facts(args: argparse.Namespace) -> dict[str, object]:
    """Return how splits came about, for the description of the dataset."""
    from synthseg_core.translation.splits import Ratios

    if args.splits:
        return {"table": str(args.splits.absolute())}
    return {"by": args.split_by, "ratios": list(astuple(Ratios(*args.ratios or ())))}


def tell(notes: Sequence[str]) -> None:
    """Print notes, a line each."""
    for note in notes:
        print(f"{_COMMAND}: note: {note}", file=sys.stderr)


def tell_faults(faults: Sequence[Failure]) -> bool:
    """Print what is wrong with files, a line each; say whether there is anything."""
    for fault in faults:
        print(f"{_COMMAND}: FAILED {fault.line()}", file=sys.stderr)
    if faults:
        print(f"{_COMMAND}: nothing written: {counted(len(faults), 'unusable file')}", file=sys.stderr)
    return bool(faults)


def sum_up(folder: Path, stacks: Sequence[Stack]) -> None:
    """Print how many images of how many subjects were written."""
    for domain in dict.fromkeys(stack.domain for stack in stacks):
        for split in ("train", "val", "test"):
            part = [stack for stack in stacks if (stack.domain, stack.split) == (domain, split)]
            subjects, images = len({stack.subject for stack in part}), sum(map(len, part))
            print(f"{domain}, {split}: {counted(images, 'image')} of {counted(subjects, 'subject')}")
    print(f"written to {folder}")
