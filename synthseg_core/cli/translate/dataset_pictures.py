"""The part of ``synthseg translate dataset`` that makes datasets of pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthseg_core import __version__
from synthseg_core.cli.translate.dataset_parts import split_facts, splits_of, sum_up, tell, tell_faults
from synthseg_core.errors import UsageError

if TYPE_CHECKING:
    from synthseg_core.translation.microscopy import Picture, Scaled

EXCLUDED = ("derivatives", ".git")  # as in translation.microscopy, which loads scipy


def add_pictures(group: argparse._ArgumentGroup) -> None:
    """Add the options of pictures."""
    group.add_argument(
        "--pictures", action="store_true", help="2D pictures (PNG, TIFF) in place of scans, in folders of any depth"
    )
    group.add_argument(
        "--pixel-size",
        nargs="+",
        action="append",
        default=[],
        metavar="WORD",
        help="name of a domain, and the edge of its pixels in µm, one number or one for each folder "
        "(default: PixelSize of BIDS)",
    )
    group.add_argument(
        "--scale",
        nargs="+",
        action="append",
        default=[],
        metavar="WORD",
        help="name of a domain, and what its numbers of pixels are multiplied by, one or one for each folder",
    )
    group.add_argument(
        "--exclude",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"folders that are not looked into, beside {' and '.join(EXCLUDED)}",
    )
    group.add_argument(
        "--subject-pattern",
        metavar="REGEX",
        help="whose a picture is: the first group, in its path (default: sub- of BIDS, else each its own)",
    )


def make_from_pictures(args: argparse.Namespace) -> int:
    """Find, check, scale, and write everything."""
    from synthseg_core.system.progress import CountLine
    from synthseg_core.translation.dataset import PICTURE, Description
    from synthseg_core.translation.picture_dataset import PicturePreparation, write_picture_dataset
    from synthseg_core.translation.pictures import read_picture
    from synthseg_core.translation.sources import faulty

    _refuse_scans_only(args)
    pictures, scaled = _pictures(args)
    names = [words[0] for words in args.domain]
    subjects = {name: {one.source.subject for one in pictures if one.source.domain == name} for name in names}
    split_of = splits_of(args, subjects)
    with CountLine("checking") as progress:
        faults = faulty(read_picture, (one.source for one in pictures), jobs=args.jobs, progress=progress)
    if tell_faults(faults):
        return 2
    description = Description(
        domains=tuple(names),
        plane=PICTURE,
        spacing_mm=None if scaled.spacing_um is None else scaled.spacing_um / 1000,
        seed=args.seed,
        options={"splits": split_facts(args)},
        versions={"synthseg-bids": __version__},
    )
    preparation = PicturePreparation(pictures, scaled, split_of, description)
    with CountLine("scaling") as progress:
        stacks = write_picture_dataset(args.out, preparation, jobs=args.jobs, progress=progress)
    sum_up(args.out, stacks)
    return 0


def numbers_of(given: Sequence[Sequence[str]], domain: str, flag: str) -> list[float]:
    """Return the numbers that a flag gives to a domain; ``UsageError`` for other words."""
    words = [word for name, *numbers in given if name == domain for word in numbers]
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise UsageError(flag, found=" ".join(words), expected="numbers", remedy="correct them") from error


def _refuse_scans_only(args: argparse.Namespace) -> None:
    """Refuse options that say nothing of pictures."""
    flags = ("--paired", "--filter", "--bids-filter-file", "--participants", "--ct", "--ct-window")
    if given := [flag for flag in flags if getattr(args, flag[2:].replace("-", "_"))]:
        raise UsageError(given[0], found="pictures", expected="scans", remedy=f"leave out {given[0]} or --pictures")


def _pictures(args: argparse.Namespace) -> tuple[list[Picture], Scaled]:
    from synthseg_core.translation.microscopy import find_pictures, scaled, with_places
    from synthseg_core.translation.sources import require_apart

    exclude = (*EXCLUDED, *args.exclude)
    by_domain = {
        name: find_pictures(
            name,
            with_places(
                [Path(path) for path in paths],
                numbers_of(args.scale, name, "--scale"),
                numbers_of(args.pixel_size, name, "--pixel-size"),
            ),
            exclude,
            args.subject_pattern,
        )
        for name, *paths in args.domain
    }
    require_apart({name: [one.source for one in found] for name, found in by_domain.items()})
    pictures = [one for found in by_domain.values() for one in found]
    made = scaled(pictures, args.spacing)
    if made.spacing_um is None:
        tell(["no sizes of pixels are known; they are taken as equal in both domains"])
    return pictures, made
