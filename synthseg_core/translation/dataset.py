"""A translation dataset: slices or pictures of two domains, in three HDF5 files and two tables about them.

====================================  ================================================================================
``dataset_{train,val,test}.hdf5``     ``/<domain>/<i>`` with i = "0", "1", ...: one 2D array each, uint8 (0 to 255)
                                      or float32 (-1 to 1); the type tells which
``manifest.tsv``                      a row a file that went in: :class:`Stack`
``dataset.json``                      :class:`Description`
====================================  ================================================================================

The HDF5 layout is that of SynDiff's users; their folders, which have neither manifest nor JSON, are read as well: every
image then stands alone.

Rows of an image run from the top of the picture, columns from its left, as radiologists look at a head (see
:mod:`synthseg_core.images.planes`). Slices are numbered along the axis to the right, to the front or up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from synthseg_core.errors import InputError, UsageError
from synthseg_core.system.settings import build, read_mapping
from synthseg_core.system.tables import ABSENT, read_tsv
from synthseg_core.system.words import listed
from synthseg_core.translation.contrast import Window

SPLITS = ("train", "val", "test")
PICTURE = "picture"
"""Plane of datasets of 2D pictures, beside the names of planes through a head."""
MANIFEST, DESCRIPTION = "manifest.tsv", "dataset.json"
BACKGROUND = -1.0
"""What images are padded with: the lowest value."""
_HALF_RANGE = 127.5  # uint8 to -1 ... 1


@dataclass(frozen=True)
class Stack:
    """The images that one file gave to a dataset: consecutive slices of a scan, or one picture.

    Parameters
    ----------
    domain
        Name of the contrast.
    subject, session
        Whose; the session is empty where there is none.
    file
        Where it came from, absolute.
    split
        ``train``, ``val`` or ``test``.
    plane
        ``axial``, ``coronal``, ``sagittal`` or ``picture``.
    first_slice, last_slice
        Numbers in the scan, both included; 0 for a picture.
    first_image
        Number of the first slice in its split and domain; the others follow.
    spacing_mm
        Edge of a pixel; ``None``: not known.
    low, high
        Values of the file that became -1 and 1; what lay beyond was cut off.
    top, left
        Row and column, in a whole slice, of the first pixel that was kept.
    """

    domain: str
    subject: str
    session: str
    file: str
    split: str
    plane: str
    first_slice: int
    last_slice: int
    first_image: int
    spacing_mm: float | None
    low: float
    high: float
    top: int = 0
    left: int = 0

    def __len__(self) -> int:
        return self.last_slice - self.first_slice + 1

    @property
    def window(self) -> Window:
        """Leads from values of the file to those of the images and back."""
        return Window(self.low, self.high)


COLUMNS = tuple(entry.name for entry in fields(Stack))


@dataclass(frozen=True)
class Description:
    """What holds for all images of a dataset.

    Parameters
    ----------
    domains
        Names of the two contrasts.
    plane
        As in :class:`Stack`.
    spacing_mm
        Edge of a pixel; ``None``: not known, taken as equal.
    neighbours
        How many slices on each side are seen together with one.
    paired
        Whether images of one number show the same place in both domains.
    seed
        Of the splits.
    options
        How else the dataset was made.
    versions
        Of the programs that made it.
    """

    domains: tuple[str, ...]
    plane: str
    spacing_mm: float | None = None
    neighbours: int = 0
    paired: bool = False
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


class Images(Protocol):
    """Images of two domains, as :class:`~synthseg_core.translation.dataset.TranslationData` has them."""

    @property
    def domains(self) -> Sequence[str]:
        """Names of the contrasts."""
        ...

    def count(self, domain: str, split: str) -> int:
        """Return the number of images."""
        ...

    def image(self, domain: str, split: str, index: int) -> np.ndarray:
        """Return an image (C, height, width), -1 to 1."""
        ...


class TranslationData:
    """An open dataset; worker processes that get it by fork or pickle open its files for themselves.

    Parameters
    ----------
    files
        HDF5 file of each split.
    description
        Of all images.
    stacks
        Rows of the manifest; empty where there is none.
    """

    def __init__(self, files: Mapping[str, Path], description: Description, stacks: Sequence[Stack] = ()) -> None:
        self.files = dict(files)
        self.description = description
        self.stacks = tuple(stacks)
        self._bounds = {key: _bounds(part) for key, part in _parts(stacks).items()}
        self._open: dict[tuple[int, str], h5py.File] = {}
        self._counts = {(domain, split): self._count(domain, split) for domain in self.domains for split in SPLITS}

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the contrasts."""
        return self.description.domains

    @property
    def plane(self) -> str:
        """As in :class:`Stack`."""
        return self.description.plane

    @property
    def spacing_mm(self) -> float | None:
        """Edge of a pixel; ``None``: not known."""
        return self.description.spacing_mm

    @property
    def neighbours(self) -> int:
        """Slices on each side that are seen together with one."""
        return self.description.neighbours

    def count(self, domain: str, split: str) -> int:
        """Return the number of images."""
        return self._counts[domain, split]

    def image(self, domain: str, split: str, index: int) -> np.ndarray:
        """Return an image with its neighbours in the same scan; at the ends of a scan its outermost slice is repeated.

        Returns
        -------
        (2 * neighbours + 1, height, width)
            float32, -1 to 1; the image itself is in the middle.

        Raises
        ------
        IndexError
            If there is no such image.
        """
        if not 0 <= index < self.count(domain, split):
            raise IndexError(f"{domain}, {split}: image {index} of {self.count(domain, split)}")
        first, last = self._scan_of(domain, split, index)
        around = range(index - self.neighbours, index + self.neighbours + 1)
        return np.stack([self._slice(domain, split, min(max(number, first), last)) for number in around])

    def stack_of(self, domain: str, split: str, index: int) -> Stack | None:
        """Return the file that an image comes from; ``None`` without a manifest."""
        starts, part = self._bounds.get((domain, split), (np.zeros(0), ()))
        return part[int(np.searchsorted(starts, index, side="right")) - 1] if part else None

    def close(self) -> None:
        """Close the files that this process has open."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}

    def _scan_of(self, domain: str, split: str, index: int) -> tuple[int, int]:
        stack = self.stack_of(domain, split, index)
        return (index, index) if stack is None else (stack.first_image, stack.first_image + len(stack) - 1)

    def _slice(self, domain: str, split: str, index: int) -> np.ndarray:
        place = f"/{domain}/{index}"
        stored = self._file(split)[place]
        if not isinstance(stored, h5py.Dataset):
            raise _damaged(self.files[split], f"no image at {place}")
        return normalised(stored[()], f"{self.files[split]}{place}")

    def _file(self, split: str) -> h5py.File:
        """Return the file as this process has opened it: handles do not survive a fork."""
        key = (os.getpid(), split)
        if key not in self._open:
            self._open[key] = _opened(self.files[split])
        return self._open[key]

    def _count(self, domain: str, split: str) -> int:
        """Return the number of images; refuse a file that lacks some, or holds others than the manifest says."""
        file, path = self._file(split), self.files[split]
        group = file.get(domain)
        names = set(group) if isinstance(group, h5py.Group) else set()
        if missing := [number for number in map(str, range(len(names))) if number not in names]:
            raise _damaged(path, f"no image /{domain}/{missing[0]}, although there are {len(names)}")
        listed_here = sum(len(stack) for stack in self.stacks if (stack.domain, stack.split) == (domain, split))
        if self.stacks and listed_here != len(names):
            raise _damaged(path, f"{len(names)} images of {domain}, where the manifest says {listed_here}")
        return len(names)


def open_dataset(folder: Path | str) -> TranslationData:
    """Open a dataset.

    Parameters
    ----------
    folder
        With a manifest and JSON; or with nothing but ``<stem>_train.hdf5``, ``<stem>_val.hdf5`` and
        ``<stem>_test.hdf5``.

    Raises
    ------
    InputError
        If files are missing, damaged, or contradict each other.
    """
    folder = Path(folder)
    files = _split_files(folder)
    if not (folder / DESCRIPTION).is_file():
        return TranslationData(files, _bare(files["train"]))
    content = read_mapping(folder / DESCRIPTION, "description of a translation dataset", "make the dataset again")
    description = build(Description, content, str(folder / DESCRIPTION))
    return TranslationData(files, description, read_manifest(folder / MANIFEST))


def read_manifest(path: Path) -> tuple[Stack, ...]:
    """Read a manifest; ``InputError`` if a column is missing or a cell is of the wrong kind."""
    return tuple(_stack(row, f"{path}, row {number}") for number, row in enumerate(read_tsv(path, COLUMNS), 1))


def normalised(data: np.ndarray, subject: object) -> np.ndarray:
    """Return a stored image as float32, -1 to 1.

    Raises
    ------
    InputError
        If it is not two-dimensional, or neither uint8 nor float.
    """
    if data.ndim != 2 or data.dtype not in (np.uint8, np.float32):
        raise InputError(
            subject,
            found=f"{data.dtype} of shape {' x '.join(map(str, data.shape))}",
            expected="one 2D image, uint8 (0 to 255) or float32 (-1 to 1)",
            remedy="make the dataset again",
        )
    return data if data.dtype == np.float32 else data.astype(np.float32) / np.float32(_HALF_RANGE) - 1


@dataclass(frozen=True)
class Crop:
    """A window of an image, perhaps mirrored; where it reaches beyond the image, background is added.

    Parameters
    ----------
    size
        Of the window, (height, width).
    corner
        Row and column of its first pixel in the image; negative where the image is smaller.
    flips
        Whether rows and columns are reversed.
    """

    size: tuple[int, int]
    corner: tuple[int, int]
    flips: tuple[bool, bool]

    def of(self, image: np.ndarray) -> np.ndarray:
        """Cut the window out of an image (..., height, width); a copy."""
        out = np.full((*image.shape[:-2], *self.size), BACKGROUND, image.dtype)
        spans = [
            _overlap(corner, size, count)
            for corner, size, count in zip(self.corner, self.size, image.shape[-2:], strict=True)
        ]
        out[(..., *(there for there, _ in spans))] = image[(..., *(here for _, here in spans))]
        rows, columns = (slice(None, None, -1 if flip else None) for flip in self.flips)
        return np.ascontiguousarray(out[..., rows, columns])


def draw_crop(shape: Sequence[int], size: int | tuple[int, int], rng: np.random.Generator) -> Crop:
    """Draw a window and whether it is mirrored; an image that is smaller stands in its middle.

    Parameters
    ----------
    shape
        Of the image; its last two numbers count.
    size
        Edge of the window, or (height, width).
    rng
        Source of random numbers.
    """
    window = (size, size) if isinstance(size, int) else size
    rows, columns = (
        int(rng.integers(count - wanted + 1)) if count > wanted else -((wanted - count) // 2)
        for count, wanted in zip(shape[-2:], window, strict=True)
    )
    first, second = rng.random(2) < 0.5
    return Crop(window, (rows, columns), (bool(first), bool(second)))


def crop(image: np.ndarray, size: int | tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw a window with :func:`draw_crop` and cut it out; for pairs draw once and apply :meth:`Crop.of` to both.

    Parameters
    ----------
    image : (..., height, width)
        Values from -1 to 1.
    size
        Edge of the window, or (height, width).
    rng
        Source of random numbers.
    """
    return draw_crop(image.shape, size, rng).of(image)


def _overlap(corner: int, size: int, count: int) -> tuple[slice, slice]:
    """Return where the window holds pixels of the image, and which ones."""
    start, stop = max(corner, 0), min(corner + size, count)
    return slice(start - corner, stop - corner), slice(start, stop)


def _parts(stacks: Sequence[Stack]) -> dict[tuple[str, str], list[Stack]]:
    parts: dict[tuple[str, str], list[Stack]] = {}
    for stack in sorted(stacks, key=lambda stack: stack.first_image):
        parts.setdefault((stack.domain, stack.split), []).append(stack)
    return parts


def _bounds(part: Sequence[Stack]) -> tuple[np.ndarray, Sequence[Stack]]:
    return np.array([stack.first_image for stack in part]), part


def _split_files(folder: Path) -> dict[str, Path]:
    """Return the HDF5 file of each split."""
    stems = sorted(path.name.removesuffix("_train.hdf5") for path in folder.glob("*_train.hdf5"))
    stem = "dataset" if "dataset" in stems or not stems else stems[0]
    files = {split: folder / f"{stem}_{split}.hdf5" for split in SPLITS}
    if missing := [path.name for path in files.values() if not path.is_file()]:
        raise InputError(
            folder,
            found=f"no {listed(missing)}",
            expected="a translation dataset",
            remedy="check the path, or make one with 'synthseg translate dataset'",
        )
    return files


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise _damaged(path, f"no readable HDF5 file ({' '.join(str(error).split())})") from error


def _bare(path: Path) -> Description:
    """Describe a dataset that says nothing of itself."""
    with _opened(path) as file:
        return Description(tuple(str(name) for name in file if isinstance(file[name], h5py.Group)), PICTURE)


def _stack(row: Mapping[str, str], subject: str) -> Stack:
    content: dict[str, Any] = {name: "" if row[name] == ABSENT else row[name] for name in COLUMNS}
    try:
        for name in ("first_slice", "last_slice", "first_image", "top", "left"):
            content[name] = int(content[name])
        for name in ("low", "high"):
            content[name] = float(content[name])
        content["spacing_mm"] = float(content["spacing_mm"]) if content["spacing_mm"] else None
    except ValueError as error:
        raise _damaged(Path(subject), f"a cell that is no number ({error})") from error
    return build(Stack, content, subject)


def _damaged(path: Path, found: str) -> InputError:
    return InputError(path, found=found, expected="a whole translation dataset", remedy="make the dataset again")


def require_domain(data: TranslationData, domain: str) -> None:
    """Refuse a name that is none of the dataset's with ``UsageError``."""
    if domain not in data.domains:
        raise UsageError(
            domain, found="no such domain", expected=f"one of {listed(data.domains)}", remedy="correct the name"
        )


def require_images(data: Images, domain: str, split: str) -> int:
    """Return how many images a domain has in a split; ``InputError`` if it has none."""
    count = data.count(domain, split)
    if not count:
        raise InputError(
            f"translation dataset, {domain}",
            found=f"no images in {split}",
            expected="one at least",
            remedy="make the dataset from more subjects, or with other shares of the splits",
        )
    return count
