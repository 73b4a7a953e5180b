"""Label maps of the generator: read once, checked against the label list, kept as small integers on one device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from synthseg_core import memory
from synthseg_core.affines import Shape3, Size3, closest_ras, unit_columns, voxel_size
from synthseg_core.errors import GeometryError, InputError, UsageError
from synthseg_core.file_kinds import READABLE, extension
from synthseg_core.inspection import sizes_text
from synthseg_core.io import Grid, read_grid
from synthseg_core.label_file import read_label_file
from synthseg_core.synth.label_lists import GenerationLabels
from synthseg_core.volume import Volume

Unknown = Literal["refuse", "background"]
Progress = Callable[[int, int], None]

_SIZE_TOLERANCE_MM = 1e-3  # headers hold float32; a real difference of voxel size is far larger
_MOST_SHOWN = 8  # values listed in a message

# More values than this outside a list are no slip of a label but grey values.
SCAN_LIKE = 30


@dataclass(frozen=True)
class LabelMaps:
    """Label maps of one shape and voxel size, RAS+, as positions in their label list.

    Parameters
    ----------
    indices : (M, I, J, K)
        Position of each voxel's label in ``labels.values``; uint8, or int16 for lists of more than 255 labels.
    affine
        For each map its (4, 4) float64 affine, voxel centre to world, mm, RAS+.
    voxel_size
        Edge lengths in mm, the same for all maps.
    names
        File names without extension.
    labels
        The label list.
    """

    indices: Tensor
    affine: tuple[np.ndarray, ...]
    voxel_size: Size3
    names: tuple[str, ...]
    labels: GenerationLabels

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> Shape3:
        """Voxels of each map."""
        i, j, k = self.indices.shape[1:]
        return i, j, k

    @property
    def nbytes(self) -> int:
        """Memory that the maps occupy."""
        return self.indices.nbytes

    def to(self, device: torch.device | str) -> LabelMaps:
        """Return the same maps on another device."""
        return replace(self, indices=self.indices.to(device))


def read_label_maps(
    source: Path | str | Sequence[Path | str],
    labels: GenerationLabels,
    *,
    unknown: Unknown = "refuse",
    step: int = 1,
    progress: Progress | None = None,
) -> LabelMaps:
    """Read all label maps of a folder or list, and refuse the first one that does not fit.

    Parameters
    ----------
    source
        A folder, whose files are read in sorted order, one file, or several.
    unknown
        What to do about values that the list lacks: ``refuse``, or take them as ``background``.
    step
        Keep every ``step``-th voxel along each axis: with 2, maps of 1 mm become maps of 2 mm.
    progress
        Called with the number of maps read and of all maps.

    Raises
    ------
    InputError
        If there are no files, or a map is unreadable, no label map, empty, of another shape or voxel size than the
        first, or contradicts the list; the message names the file. Headers are compared before any voxel is read.
    """
    check_step(step)
    paths = label_map_paths(source)
    grid = common_grid(paths)
    shape = _thinned(grid.shape, step)
    encoder = _Encoder.of(labels, unknown)
    memory.require(len(paths) * math.prod(shape) * encoder.itemsize, source_text(source), f"{len(paths)} label maps")
    indices = torch.empty((len(paths), *shape), dtype=encoder.torch_dtype)
    affines: list[np.ndarray] = []
    for number, path in enumerate(paths):
        volume = encoder.encode(read_ras_labels(path), path)
        indices[number] = torch.from_numpy(np.ascontiguousarray(volume.data[::step, ::step, ::step]))
        affines.append(_thinned_affine(volume.affine, step))
        if progress is not None:
            progress(number + 1, len(paths))
    return LabelMaps(indices, tuple(affines), voxel_size(affines[0]), tuple(map(stem, paths)), labels)


def label_map_paths(source: Path | str | Sequence[Path | str]) -> tuple[Path, ...]:
    """Return the files of a folder that can hold volumes, sorted; or the files given, in their order."""
    if not isinstance(source, (str, Path)):
        paths = tuple(Path(path) for path in source)
    elif Path(source).is_dir():
        files = (path for path in Path(source).iterdir() if extension(path) in READABLE)
        paths = tuple(sorted(path for path in files if not path.name.startswith(".")))
    else:
        paths = (Path(source),)
    if not paths:
        raise InputError(
            source_text(source),
            found="no files",
            expected=f"files that end in {', '.join(READABLE)}",
            remedy="check the path",
        )
    return paths


def common_grid(paths: Sequence[Path]) -> Grid:
    """Return shape and affine of the first file in RAS+ order; refuse files whose shape or voxel size differs."""
    first = _ras_grid(paths[0])
    sizes_mm = voxel_size(first.affine)
    for path in paths[1:]:
        grid = _ras_grid(path)
        if grid.shape != first.shape:
            raise _unequal(path, f"the shape {_text(grid.shape)} (in RAS order)", _text(first.shape), paths[0])
        if not np.allclose(voxel_size(grid.affine), sizes_mm, rtol=0, atol=_SIZE_TOLERANCE_MM):
            found = f"voxels of {sizes_text(voxel_size(grid.affine))} (in RAS order)"
            raise _unequal(path, found, sizes_text(sizes_mm), paths[0])
    return first


def read_ras_labels(path: Path) -> Volume:
    """Read one label map (I, J, K), int32, with its axes in RAS+ order; refuse one without any label."""
    volume = read_label_file(path)
    if not volume.data.any():
        raise InputError(
            path,
            found="no label anywhere (all voxels 0)",
            expected="a label map",
            remedy="remove the file or correct it",
        )
    orientation = closest_ras(unit_columns(volume.affine))
    return Volume(orientation.to_ras(volume.data), orientation.affine_to_ras(volume.affine, volume.shape))


def stem(path: Path) -> str:
    """Return the file name without its extension."""
    return path.name.removesuffix(extension(path)).removesuffix(extension(path).upper())


def values_text(values: Iterable[int]) -> str:
    """Return values for a message, the first few of many."""
    listed = list(values)
    more = ", ..." if len(listed) > _MOST_SHOWN else ""
    return ", ".join(map(str, listed[:_MOST_SHOWN])) + more


def source_text(source: Path | str | Sequence[Path | str]) -> str:
    """Name a folder, a file or a list of files in a message."""
    return str(source) if isinstance(source, (str, Path)) else "label maps"


def check_step(step: int) -> None:
    """Refuse a step that keeps no voxels."""
    if step < 1:
        raise UsageError("step", found=str(step), expected="1 or more", remedy="2 keeps every second voxel")


@dataclass(frozen=True)
class _Encoder:
    """Table from label value to position in the list; its last entry stands for all larger values."""

    labels: GenerationLabels
    positions: np.ndarray
    missing: int | None

    @classmethod
    def of(cls, labels: GenerationLabels, unknown: Unknown) -> _Encoder:
        dtype = np.dtype(np.uint8 if len(labels.values) <= np.iinfo(np.uint8).max else np.int16)
        missing = None if unknown == "background" else int(np.iinfo(dtype).max)
        positions = np.full(max(labels.values) + 2, 0 if missing is None else missing, dtype)
        positions[list(labels.values)] = np.arange(len(labels.values))
        return cls(labels, positions, missing)

    @property
    def itemsize(self) -> int:
        return self.positions.itemsize

    @property
    def torch_dtype(self) -> torch.dtype:
        return torch.uint8 if self.itemsize == 1 else torch.int16

    def encode(self, label_map: Volume, path: Path) -> Volume:
        """Replace values by positions; refuse what the list does not cover."""
        indices = self.positions[np.minimum(label_map.data, len(self.positions) - 1)]
        present = np.zeros(np.iinfo(indices.dtype).max + 1, bool)
        present[indices.ravel()] = True
        if self.missing is not None and present[self.missing]:
            raise unknown_values(path, np.unique(label_map.data[indices == self.missing]).tolist(), self.labels)
        if not present[1:].any():
            raise InputError(
                path,
                found="no value of the label list, so that all would be background",
                expected=f"values such as {values_text(self.labels.values[1:])}",
                remedy=f"check that {self.labels.source} belongs to this map",
            )
        _check_counterparts(np.flatnonzero(present[: len(self.labels.values)]).tolist(), path, self.labels)
        return Volume(indices, label_map.affine)


def _check_counterparts(present: Sequence[int], path: Path, labels: GenerationLabels) -> None:
    """Refuse a sided label that mirroring would leave on its side."""
    for index in present:
        if index >= labels.n_neutral and labels.swap_index[index] == index:
            raise InputError(
                path,
                found=f"label {labels.values[index]}, which has a side but no counterpart in {labels.source}",
                expected="left and right labels in pairs",
                remedy="add the counterpart to the list, or list the label as neutral",
            )


def unknown_values(path: Path, values: list[int], labels: GenerationLabels) -> InputError:
    """Return the one line about values of a map that its list lacks."""
    scan_like = len(values) > SCAN_LIKE
    many = f"{len(values)} values that the label list lacks" if len(values) > 1 else "a value that the label list lacks"
    return InputError(
        path,
        found=f"{many} ({values_text(values)})" + (", as in a scan" if scan_like else ""),
        expected=f"only values of {labels.source}",
        remedy="give label maps, not scans"
        if scan_like
        else "add them to the list (synthseg labels scan), or have unknown values taken as background",
    )


def _unequal(path: Path, found: str, expected: str, first: Path) -> GeometryError:
    return GeometryError(
        path,
        found=found,
        expected=f"{expected}, as in {first.name}",
        remedy="resample all label maps to one grid (nearest neighbours)",
    )


def _ras_grid(path: Path) -> Grid:
    grid = read_grid(path)
    orientation = closest_ras(unit_columns(grid.affine))
    i, j, k = (grid.shape[axis] for axis in orientation.axes)
    return Grid((i, j, k), orientation.affine_to_ras(grid.affine, grid.shape))


def _thinned(shape: Shape3, step: int) -> Shape3:
    i, j, k = (math.ceil(n / step) for n in shape)
    return i, j, k


def _thinned_affine(affine: np.ndarray, step: int) -> np.ndarray:
    """Return the affine of every ``step``-th voxel; the first voxel stays where it is."""
    result = np.array(affine, np.float64)
    result[:3, :3] *= step
    return result


def _text(shape: Shape3) -> str:
    return " x ".join(map(str, shape))
