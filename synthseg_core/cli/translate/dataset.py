"""``synthseg translate dataset``: make a dataset of two domains, from scans or from pictures of microscopes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthseg_core import __version__
from synthseg_core.cli.translate.dataset_parts import add_splits, split_facts, splits_of, sum_up, tell, tell_faults
from synthseg_core.cli.translate.dataset_pictures import add_pictures, make_from_pictures
from synthseg_core.errors import UsageError
from synthseg_core.system.atomic import check_writable
from synthseg_core.system.words import counted

if TYPE_CHECKING:
    from synthseg_core.translation.preparing import Cutting, Preparation
    from synthseg_core.translation.sources import Source, Wanted

_PLANES = ("axial", "coronal", "sagittal")  # as in translation.slices, which loads scipy
_PLACES = "BIDS datasets, folders, tables or single scans"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    _add_domains(parser.add_argument_group("domains"))
    _add_slices(parser.add_argument_group("slices of scans"))
    add_pictures(parser.add_argument_group("pictures of microscopes"))
    add_splits(parser.add_argument_group("splits"))
    out = parser.add_argument_group("outputs")
    out.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the dataset")
    out.add_argument("--jobs", "--threads", type=int, default=1, metavar="N", help="files at once (default: 1)")


def _add_domains(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--domain",
        nargs="+",
        action="append",
        required=True,
        metavar="WORD",
        help=f"name of a contrast and where its images are: {_PLACES}; give it twice",
    )
    group.add_argument(
        "--filter",
        nargs="+",
        action="append",
        default=[],
        metavar="WORD",
        help="name of a domain, and KEY=LABEL that its scans must have, such as suffix=T1w; KEY= for none",
    )
    group.add_argument(
        "--bids-filter-file",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "FILE"),
        help="BIDS filter file of a domain",
    )
    group.add_argument(
        "--participants",
        nargs="+",
        default=[],
        metavar="LABEL|FILE",
        help="only these: labels, or a list or participants.tsv",
    )
    group.add_argument(
        "--paired", action="store_true", help="every scan has a partner of the same session, on the same grid"
    )


def _add_slices(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--plane", choices=_PLANES, default="axial", help="default: %(default)s")
    group.add_argument(
        "--spacing",
        type=float,
        metavar="MM",
        help="edge of a pixel (default: 1); of pictures in µm (default: theirs, if all are equal)",
    )
    group.add_argument(
        "--coverage",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="least head in a slice, of that in the slice with most (default: %(default)s)",
    )
    group.add_argument(
        "--neighbours",
        type=int,
        default=1,
        metavar="N",
        help="slices on each side that the networks see as well (default: %(default)s)",
    )
    group.add_argument("--ct", nargs="+", default=[], metavar="NAME", help="domains in Hounsfield units")
    group.add_argument(
        "--ct-window", nargs=2, type=float, metavar=("LOW", "HIGH"), help="what becomes -1 and 1 (default: 0 80)"
    )


def run(args: argparse.Namespace) -> int:
    """Find, check, cut, and write everything."""
    _check_words(args)
    check_writable(args.out / "dataset.json")
    return make_from_pictures(args) if args.pictures else _scans(args)


def _scans(args: argparse.Namespace) -> int:
    from synthseg_core.system.progress import CountLine
    from synthseg_core.translation.preparing import usable_scan, write_dataset
    from synthseg_core.translation.sources import faulty

    cutting = _cutting(args)
    preparation = _preparation(args, cutting)
    everything = [source for files in preparation.domains.values() for source in files]
    with CountLine("checking") as progress:
        faults = faulty(usable_scan, everything, jobs=args.jobs, progress=progress)
    if tell_faults(faults):
        return 2
    with CountLine("cutting") as progress:
        summary = write_dataset(args.out, preparation, jobs=args.jobs, progress=progress)
    sum_up(args.out, summary.stacks)
    for domain, dropped in summary.dropped.items():
        if dropped:
            print(f"{domain}: {counted(dropped, 'slice')} left out, with too little head (--coverage)")
    return 0


def _check_words(args: argparse.Namespace) -> None:
    """Refuse combinations that say nothing."""
    names = _names(args)
    if len(args.domain) != 2 or len(set(names)) != 2 or any(len(words) < 2 for words in args.domain):
        raise UsageError(
            "--domain",
            found=", ".join(" ".join(words[:2]) for words in args.domain),
            expected="two domains, each a name and one path at least",
            remedy="write for instance --domain T1w DATASET --domain FLAIR DATASET",
        )
    for flag, given in _named_domains(args).items():
        if unknown := sorted(set(given) - set(names)):
            raise UsageError(flag, found=unknown[0], expected=f"{names[0]} or {names[1]}", remedy="correct the name")
    if not all(name.replace("-", "").replace("_", "").isalnum() for name in names):
        raise UsageError("--domain", found=" ".join(names), expected="letters, digits, - and _", remedy="rename them")
    for flag, number, least in (("--neighbours", args.neighbours, 0), ("--jobs", args.jobs, 1)):
        if number < least:
            raise UsageError(flag, found=str(number), expected=f"{least} or more", remedy="correct it")


def _names(args: argparse.Namespace) -> list[str]:
    return [words[0] for words in args.domain]


def _named_domains(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return the names of domains that each flag speaks of."""
    return {
        "--filter": [words[0] for words in args.filter],
        "--bids-filter-file": [words[0] for words in args.bids_filter_file],
        "--ct": args.ct,
        "--scale": [words[0] for words in args.scale],
        "--pixel-size": [words[0] for words in args.pixel_size],
    }


def _cutting(args: argparse.Namespace) -> Cutting:
    from synthseg_core.translation.preparing import Cutting

    values = {"ct_window_hu": tuple(args.ct_window)} if args.ct_window else {}
    spacing = 1.0 if args.spacing is None else args.spacing
    if not spacing > 0:
        raise UsageError("--spacing", found=f"{spacing:g} mm", expected="more than 0", remedy="correct it")
    return Cutting(args.plane, spacing, args.coverage, tuple(args.ct), **values)


def _preparation(args: argparse.Namespace, cutting: Cutting) -> Preparation:
    from synthseg_core.translation.dataset import Description
    from synthseg_core.translation.preparing import Preparation
    from synthseg_core.translation.sources import find_sources, paired, require_apart

    found = {wanted.domain: find_sources(wanted) for wanted in _wanted(args)}
    tell([note for one in found.values() for note in one.notes])
    domains: Mapping[str, Sequence[Source]] = {name: one.sources for name, one in found.items()}
    require_apart(domains)
    if args.paired:
        domains = paired(domains)
    subjects = {name: {source.subject for source in files} for name, files in domains.items()}
    split_of = splits_of(args, subjects)
    description = Description(
        domains=tuple(domains),
        plane=cutting.plane,
        spacing_mm=cutting.spacing_mm,
        neighbours=args.neighbours,
        paired=args.paired,
        seed=args.seed,
        options={
            "coverage": cutting.coverage,
            "ct": list(cutting.ct),
            **({"ct_window_hu": list(cutting.ct_window_hu)} if cutting.ct else {}),
            "splits": split_facts(args),
        },
        versions={"synthseg-bids": __version__},
    )
    return Preparation(domains, split_of, description, cutting)


def _wanted(args: argparse.Namespace) -> list[Wanted]:
    from synthseg_core.translation.sources import Wanted

    participants = _participants(args.participants)
    files = {name: Path(file) for name, file in args.bids_filter_file}
    return [
        Wanted(
            name,
            tuple(map(Path, paths)),
            _entities(args.filter, name),
            files.get(name),
            participants,
            exclude=(args.out,),
        )
        for name, *paths in args.domain
    ]


def _participants(words: Sequence[str]) -> frozenset[str]:
    from synthseg_core.translation.sources import read_participant_list, with_prefix

    if len(words) == 1 and Path(words[0]).is_file():
        return read_participant_list(Path(words[0]))
    return frozenset(map(with_prefix, words))


def _entities(filters: Sequence[Sequence[str]], domain: str) -> dict[str, str]:
    words = [word for name, *given in filters if name == domain for word in given]
    for word in words:
        if "=" not in word:
            raise UsageError(
                "--filter", found=word, expected="KEY=LABEL, such as suffix=T1w", remedy="correct the words"
            )
    return {key: label for key, _, label in (word.partition("=") for word in words)}
