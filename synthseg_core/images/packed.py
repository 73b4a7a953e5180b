"""Many label maps in one compressed file: one thing to carry to another machine, a third of the size."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.errors import InputError
from synthseg_core.images.affines import Shape3
from synthseg_core.images.label_maps import MapFiles, files_of, source_text
from synthseg_core.images.volume import Volume
from synthseg_core.system import memory
from synthseg_core.system.atomic import atomic_path
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.words import counted

_MEMBERS = ("positions", "values", "affines", "names")
_MOST_VALUES = 256
_READ_ERRORS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class PackedMaps:
    """Label maps of one shape and voxel size, RAS+.

    Parameters
    ----------
    positions : (M, I, J, K) uint8
        Position of each voxel's label in ``values``.
    values : (V,) int32
        Labels of all maps, ascending.
    affines : (M, 4, 4) float64
        Voxel centre to world, mm.
    names
        File names without extension.
    """

    positions: np.ndarray
    values: np.ndarray
    affines: np.ndarray
    names: tuple[str, ...]


def pack(source: Path | str | Sequence[Path | str], progress: OnProgress | None = None) -> PackedMaps:
    """Read the label maps of a folder or list.

    Raises
    ------
    InputError
        As :func:`synthseg_core.synth.maps.read_label_maps` does, or if there are more than 256 labels.
    """
    files = files_of(source)
    bytes_needed = len(files) * math.prod(files.shape)
    memory.require(bytes_needed, source_text(source), counted(len(files), "label map"))
    positions = np.empty((len(files), *files.shape), np.uint8)
    affines = np.empty((len(files), 4, 4))
    values = np.zeros(1, np.int32)
    for number, path in enumerate(files.paths):
        volume = files.read(number)
        grown = np.union1d(values, np.unique(volume.data)).astype(np.int32)
        if len(grown) > _MOST_VALUES:
            raise _too_many(path, len(grown))
        if len(grown) > len(values):
            positions[:number] = np.searchsorted(grown, values).astype(np.uint8)[positions[:number]]
            values = grown
        positions[number] = _positions_of(values)[volume.data]
        affines[number] = volume.affine
        if progress is not None:
            progress(number + 1, len(files))
    return PackedMaps(positions, values, affines, files.names)


def write_packed(path: Path, packed: PackedMaps) -> None:
    """Write atomically; the same maps give the same bytes."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            positions=packed.positions,
            values=packed.values,
            affines=packed.affines,
            names=np.array(packed.names),
        )


def read_packed(path: Path) -> PackedMaps:
    """Read what :func:`write_packed` wrote; ``InputError`` for any other file."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            positions, values, affines, names = (archive[member] for member in _MEMBERS)
    except _READ_ERRORS as error:
        raise _unreadable(path, " ".join(str(error).split()) or type(error).__name__) from error
    count = len(names) if names.ndim == 1 else 0
    if positions.dtype != np.uint8 or positions.ndim != 4 or positions.shape[0] != count or count == 0:
        raise _unreadable(path, f"positions {positions.dtype} {positions.shape} for {count} names")
    if affines.shape != (count, 4, 4) or values.ndim != 1 or positions.max() >= len(values):
        raise _unreadable(path, f"{len(affines)} affines and {values.size} values that do not fit")
    return PackedMaps(positions, values, affines, tuple(map(str, names)))


def packed_path(source: Path | str | Sequence[Path | str]) -> Path | None:
    """Return a source that is one file of many maps, else ``None``; a volume in an archive of NumPy is none."""
    if not isinstance(source, (str, Path)) or Path(source).suffix != ".npz":
        return None
    try:
        with zipfile.ZipFile(source) as archive:
            return Path(source) if f"{_MEMBERS[0]}.npy" in archive.namelist() else None
    except (OSError, zipfile.BadZipFile):
        return None


def packed_files(path: Path) -> MapFiles:
    """Return the maps of a packed file as if each were a file of its own."""
    packed = read_packed(path)
    i, j, k = packed.positions.shape[1:]
    shape: Shape3 = (i, j, k)

    def read(number: int) -> Volume:
        return Volume(packed.values[packed.positions[number]], packed.affines[number])

    paths = tuple(Path(f"{path}[{name}]") for name in packed.names)
    return MapFiles(paths, packed.names, shape, read)


def _positions_of(values: np.ndarray) -> np.ndarray:
    """Return the table from value to position."""
    table = np.zeros(int(values.max()) + 1, np.uint8)
    table[values] = np.arange(len(values))
    return table


def _too_many(path: Path, count: int) -> InputError:
    return InputError(
        path,
        found=f"label number {count} of the maps so far",
        expected=f"at most {_MOST_VALUES} labels in a packed file",
        remedy="use the maps as a folder, or merge labels",
    )


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(
        path, found=reason, expected="label maps that 'synthseg labels pack' wrote", remedy="pack the maps again"
    )
