"""Pictures to be translated in one HDF5 file of tiles, as SynDiff's users have them: read and written.

``/<domain>/images/<i>`` and, where pictures have labels, ``/<domain>/labels/<i>``: a tile each, with the attributes
``path_to_original`` and ``location``, column and row of its first pixel. Tiles lie edge to edge; those of the last row
and column are moved inward.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from synthseg_core.errors import InputError
from synthseg_core.system.atomic import atomic_path
from synthseg_core.translation.dataset import normalised
from synthseg_core.translation.pictures import picture_shape, resized, rounded, to_8_bits

_IMAGES, _LABELS = "images", "labels"


@dataclass(frozen=True)
class Original:
    """A picture of a file of tiles.

    Parameters
    ----------
    path
        ``path_to_original``: where it came from.
    picture : (height, width)
        uint8.
    labels : (height, width)
        Of the same shape; ``None`` without.
    """

    path: str
    picture: np.ndarray
    labels: np.ndarray | None = None


def write_tiles(path: Path, domain: str, originals: Iterable[Original], tile: int = 512) -> int:
    """Write pictures as tiles, atomically; return the number of tiles.

    Parameters
    ----------
    path
        ``<stem>_<domain>.hdf5``.
    domain
        Name of the contrast.
    originals
        The pictures.
    tile
        Edge of the tiles, pixels; a smaller picture is one tile.
    """
    count = 0
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for original in originals:
            for row, column in _corners(original.picture.shape, tile):
                for kind, whole in ((_IMAGES, original.picture), (_LABELS, original.labels)):
                    if whole is None:
                        continue
                    part = whole[row : row + tile, column : column + tile]
                    stored = file.create_dataset(f"/{domain}/{kind}/{count}", data=part, compression="gzip")
                    stored.attrs["path_to_original"] = original.path
                    stored.attrs["location"] = (column, row)
                count += 1
    return count


def read_tiles(path: Path, domain: str | None = None) -> Iterator[Original]:
    """Yield the pictures of a file of tiles, put together, in the order of their first tiles.

    Parameters
    ----------
    path
        The file.
    domain
        Which one; ``None``: the only one.

    Raises
    ------
    InputError
        If it is no such file, or lacks tiles or attributes.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise _no_tiles(path, f"no readable HDF5 file ({' '.join(str(error).split())})") from error
    with file:
        group = _group(path, file, domain)
        numbers: dict[str, list[int]] = {}
        for number in range(len(_part(path, group, _IMAGES))):
            numbers.setdefault(_attributes(path, group, number)[0], []).append(number)
        for name, own in numbers.items():
            picture, labels = (_assembled(path, group, kind, own) for kind in (_IMAGES, _LABELS))
            assert picture is not None
            yield Original(name, to_8_bits(normalised(picture, f"{path}, {name}")), labels)


def in_original_size(picture: np.ndarray, path: str) -> np.ndarray:
    """Return a picture with as many pixels as the file that it came from, uint8; as it is where that is gone.

    Parameters
    ----------
    picture : (height, width)
        From 0 to 255.
    path
        ``path_to_original``.
    """
    if not Path(path).is_file():
        return picture
    height, width = picture_shape(Path(path))
    return rounded(resized(picture, (height, width)))


def _corners(shape: tuple[int, ...], tile: int) -> Iterator[tuple[int, int]]:
    rows, columns = ([*range(0, max(length - tile, 0), tile), max(length - tile, 0)] for length in shape)
    return ((row, column) for row in rows for column in columns)


def _group(path: Path, file: h5py.File, domain: str | None) -> Any:
    names = [str(name) for name in file]
    if domain is None and len(names) == 1:
        domain = names[0]
    if domain not in names:
        raise _no_tiles(path, f"the domains {', '.join(names) or '(none)'}", domain or "one domain")
    return file[domain]


def _part(path: Path, group: Any, kind: str) -> Any:
    part = group.get(kind)
    if not isinstance(part, h5py.Group) or set(part) != {str(number) for number in range(len(part))} or not len(part):
        raise _no_tiles(path, f"no {group.name}/{kind}/0 and following")
    return part


def _attributes(path: Path, group: Any, number: int) -> tuple[str, tuple[int, int]]:
    """Return the original of a tile, and row and column of its first pixel."""
    attributes = group[_IMAGES][str(number)].attrs
    try:
        name, (column, row) = attributes["path_to_original"], attributes["location"]
    except (KeyError, ValueError) as error:
        raise _no_tiles(path, f"no path_to_original and location of {group.name}/{_IMAGES}/{number}") from error
    return name.decode() if isinstance(name, bytes) else str(name), (int(row), int(column))


def _assembled(path: Path, group: Any, kind: str, numbers: list[int]) -> np.ndarray | None:
    """Return one picture from its tiles; refuse one with holes."""
    if kind not in group:
        return None
    tiles = [np.asarray(_part(path, group, kind)[str(number)]) for number in numbers]
    corners = [_attributes(path, group, number)[1] for number in numbers]
    ends = [(row + tile.shape[0], column + tile.shape[1]) for (row, column), tile in zip(corners, tiles, strict=True)]
    whole = np.zeros(np.max(ends, axis=0), tiles[0].dtype)
    filled = np.zeros(whole.shape, bool)
    for (row, column), (bottom, right), tile in zip(corners, ends, tiles, strict=True):
        whole[row:bottom, column:right] = tile
        filled[row:bottom, column:right] = True
    if not filled.all():
        raise _no_tiles(path, f"tiles of {_attributes(path, group, numbers[0])[0]} that leave holes")
    return whole


def _no_tiles(path: Path, found: str, expected: str = "/<domain>/images/<i> with their attributes") -> InputError:
    return InputError(path, found=found, expected=expected, remedy="make the file again, or give folders of pictures")
