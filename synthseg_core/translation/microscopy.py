"""Which pictures belong to a domain, whose they are, and how large their pixels are.

Folders are searched recursively, without those that are excluded. A folder with ``imagesTr`` is taken for a dataset of
nnU-Net, of which that folder counts. Sizes of pixels come from the user, or from sidecars of BIDS.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synthseg_core.bids.names import label_from
from synthseg_core.errors import InputError, UsageError
from synthseg_core.system.delimited import absolute
from synthseg_core.system.words import counted, listed
from synthseg_core.translation.pictures import EXTENSIONS
from synthseg_core.translation.pixel_sizes import pixel_size_um
from synthseg_core.translation.sources import Source

EXCLUDED = ("derivatives", ".git")
IMAGES = "imagesTr"
"""Of nnU-Net: what is trained on."""
CHANNEL = re.compile(r"_\d{4}$")
_SIZE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Place:
    """A folder of pictures.

    Parameters
    ----------
    folder
        To search.
    scale
        What the number of pixels is multiplied by, along each edge; ``None``: as the sizes of pixels ask for.
    pixel_um
        Edge of a pixel; ``None``: as sidecars say.
    """

    folder: Path
    scale: float | None = None
    pixel_um: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("scale", self.scale), ("pixel size", self.pixel_um)):
            if value is not None and not value > 0:
                raise UsageError(name, found=f"{value:g}", expected="more than 0", remedy="correct it")


@dataclass(frozen=True)
class Picture:
    """A picture of a domain.

    Parameters
    ----------
    source
        Domain, subject and file.
    scale
        As of its place.
    pixel_um
        Edges of a pixel, (along columns of the picture, along rows); ``None``: not known.
    """

    source: Source
    scale: float | None = None
    pixel_um: tuple[float, float] | None = None


@dataclass(frozen=True)
class Scaled:
    """How many pixels pictures get, and how large these are then.

    Parameters
    ----------
    factors
        What the numbers of rows and columns are multiplied by, for each picture.
    spacing_um
        Edge of a pixel then; ``None``: not known, taken as equal.
    """

    factors: tuple[tuple[float, float], ...]
    spacing_um: float | None


def find_pictures(
    domain: str, places: Sequence[Place], exclude: Sequence[str] = EXCLUDED, pattern: str | None = None
) -> tuple[Picture, ...]:
    """Find the pictures of a domain.

    Parameters
    ----------
    domain
        Name.
    places
        Folders, or single pictures.
    exclude
        Names of folders that are not looked into.
    pattern
        Regular expression whose first group, in the path of a picture, says whose it is; ``None``: ``sub-`` of BIDS,
        otherwise each picture is somebody of its own.

    Raises
    ------
    InputError
        If there are none, or pictures of nnU-Net have several channels.
    UsageError
        If the pattern is no regular expression with a group, or does not fit a path.
    """
    whose = _expression(pattern)
    found: dict[Path, Picture] = {}
    for place in places:
        if not place.folder.exists():
            raise InputError(place.folder, found="no such file or folder", expected="pictures", remedy="check the path")
        home = place.folder if place.folder.is_dir() else place.folder.parent
        for path in _files(place.folder, exclude):
            source = Source(domain, _subject(path, home, whose), "", path)
            size = (place.pixel_um, place.pixel_um) if place.pixel_um else pixel_size_um(path, home)
            found[path] = Picture(source, place.scale, size)
    if not found:
        raise InputError(
            domain,
            found=f"no picture in {listed(str(place.folder) for place in places)}",
            expected=f"files that end in {', '.join(EXTENSIONS)}, in both domains",
            remedy="check the paths, and --exclude",
        )
    return tuple(found[path] for path in sorted(found))


def scaled(pictures: Sequence[Picture], spacing_um: float | None) -> Scaled:
    """Find out how pictures of both domains come to pixels of one size.

    Parameters
    ----------
    pictures
        Of both domains.
    spacing_um
        Edge of a pixel that is asked for; ``None``: that of all, if they are equal.

    Raises
    ------
    UsageError
        If sizes differ, or only some are known, and nothing says what to do.
    """
    effective = [_effective(picture) for picture in pictures]
    unknown = [picture for picture, size in zip(pictures, effective, strict=True) if size is None]
    if spacing_um is not None:
        for picture in unknown:
            if picture.scale is None:
                raise _no_size(picture)
        factors = [_factor(picture, spacing_um) for picture in pictures]
        return Scaled(tuple(factors), spacing_um)
    own = tuple((picture.scale or 1.0, picture.scale or 1.0) for picture in pictures)
    if len(unknown) == len(pictures):
        return Scaled(own, None)
    for picture in unknown:
        if picture.scale is None:
            raise _no_size(picture)
    known = [size for size in effective if size is not None]
    if unknown or any(_differ(size, known[0][0]) for size in known):
        raise _unequal(pictures, effective)
    return Scaled(own, known[0][0])


def with_places(folders: Sequence[Path], scales: Sequence[float], sizes: Sequence[float]) -> tuple[Place, ...]:
    """Return folders with their scales and sizes of pixels: none, one for all, or one for each.

    Raises
    ------
    UsageError
        If there are other numbers of them.
    """
    places = [Place(folder) for folder in folders]
    for flag, values in (("scale", scales), ("pixel_um", sizes)):
        if len(values) not in (0, 1, len(places)):
            raise UsageError(
                "--scale" if flag == "scale" else "--pixel-size",
                found=counted(len(values), "number"),
                expected=f"one, or one for each of {counted(len(places), 'folder')}",
                remedy="correct the numbers",
            )
        spread = list(values) * (len(places) if len(values) == 1 else 1) or [None] * len(places)
        places = [replace(place, **{flag: value}) for place, value in zip(places, spread, strict=True)]
    return tuple(places)


def _files(folder: Path, exclude: Sequence[str]) -> Iterator[Path]:
    if folder.is_file():
        yield absolute(folder)
        return
    is_nnunet = (folder / IMAGES).is_dir()
    start = folder / IMAGES if is_nnunet else folder
    for here, folders, names in os.walk(start, followlinks=True):
        folders[:] = sorted(name for name in folders if name not in exclude)
        for name in sorted(names):
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                path = absolute(Path(here) / name)
                if is_nnunet:
                    _require_one_channel(path)
                yield path


def _require_one_channel(path: Path) -> None:
    if path.stem.endswith("_0001"):
        raise InputError(
            path,
            found="a second channel of a case",
            expected="nnU-Net cases of one channel, _0000",
            remedy="keep the channel that is to be translated",
        )


def _expression(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            "--subject-pattern", found=f"{pattern} ({error})", expected="a regular expression", remedy="correct it"
        ) from error
    if not expression.groups:
        raise UsageError(
            "--subject-pattern", found=pattern, expected="a group in parentheses that is the subject", remedy="add it"
        )
    return expression


def _subject(path: Path, home: Path, whose: re.Pattern[str] | None) -> str:
    """Return whose a picture is, with ``sub-``."""
    relative = path.relative_to(absolute(home)).as_posix()
    if whose is not None:
        match = whose.search(relative)
        if not (match and label_from(match[1] or "")):
            raise UsageError(
                "--subject-pattern",
                found=f"nothing in {relative} that fits {whose.pattern}",
                expected="a letter or digit in its first group, for every picture",
                remedy="correct it",
            )
        return f"sub-{label_from(match[1])}"
    if match := re.search(r"(?:^|[/_])sub-([0-9a-zA-Z+]+)(?=[/_.])", relative):
        return f"sub-{match[1]}"
    return f"sub-{label_from(CHANNEL.sub('', path.stem)) or 'x'}"


def _effective(picture: Picture) -> tuple[float, float] | None:
    """Return the size of pixels after scaling by the user's factor."""
    if picture.pixel_um is None:
        return None
    rows, columns = picture.pixel_um
    return rows / (picture.scale or 1), columns / (picture.scale or 1)


def _factor(picture: Picture, spacing_um: float) -> tuple[float, float]:
    if picture.scale is not None:
        return picture.scale, picture.scale
    assert picture.pixel_um is not None
    rows, columns = picture.pixel_um
    return rows / spacing_um, columns / spacing_um


def _differ(size: tuple[float, float], reference: float) -> bool:
    return any(abs(edge / reference - 1) > _SIZE_TOLERANCE for edge in size)


def _no_size(picture: Picture) -> UsageError:
    return UsageError(
        picture.source.path,
        found="no size of its pixels",
        expected="one for every picture, as for others",
        remedy="give --pixel-size or --scale for its domain, or PixelSize in its JSON file",
    )


def _unequal(pictures: Sequence[Picture], sizes: Sequence[tuple[float, float] | None]) -> UsageError:
    texts: dict[str, None] = {}
    for picture, size in zip(pictures, sizes, strict=True):
        edges = "unknown" if size is None else " x ".join(f"{edge:.4g}" for edge in dict.fromkeys(size))
        texts[f"{picture.source.domain} {edges}"] = None
    return UsageError(
        "--spacing",
        found=f"pixels of several sizes, µm: {listed(texts, 6)}",
        expected="one size for both domains",
        remedy="choose it with --spacing UM, or give factors with --scale",
    )
