"""Label maps of the generator: read once, checked against the label list, kept as small integers on one device.

Label maps as a recipe wants them: which columns of the label list, which voxels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.affines import Shape3, Size3, voxel_size
from synthseg_core.images.label_maps import files_of, source_text
from synthseg_core.images.packed import packed_files, packed_path
from synthseg_core.images.volume import Volume
from synthseg_core.labels.lists import GenerationLabels, unknown_values, values_text
from synthseg_core.synth.recipe import Recipe
from synthseg_core.system import memory
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.words import counted

Unknown = Literal["refuse", "background"]


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
    progress: OnProgress | None = None,
) -> LabelMaps:
    """Read all label maps of a folder or list, and refuse the first one that does not fit.

    Parameters
    ----------
    source
        A folder, whose files are read in sorted order, one file, or several; or one packed file.
    labels
        What their values mean.
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
    packed = packed_path(source)
    files = files_of(source) if packed is None else packed_files(packed)
    shape = _thinned(files.shape, step)
    encoder = _Encoder.of(labels, unknown)
    memory.require(
        len(files) * math.prod(shape) * encoder.itemsize, source_text(source), counted(len(files), "label map")
    )
    indices = torch.empty((len(files), *shape), dtype=encoder.torch_dtype)
    affines: list[np.ndarray] = []
    for number, path in enumerate(files.paths):
        volume = encoder.encode(files.read(number), path)
        indices[number] = torch.from_numpy(np.ascontiguousarray(volume.data[::step, ::step, ::step]))
        affines.append(_thinned_affine(volume.affine, step))
        if progress is not None:
            progress(number + 1, len(files))
    return LabelMaps(indices, tuple(affines), voxel_size(affines[0]), files.names, labels)


def encoded(label_map: Volume, labels: GenerationLabels, unknown: Unknown, path: Path) -> Volume:
    """Return positions in the label list in place of the values of one map; see :func:`read_label_maps`.

    Parameters
    ----------
    label_map
        Label values.
    labels
        What they mean.
    unknown
        What to do about values that the list lacks.
    path
        Of the map, for messages.
    """
    return _Encoder.of(labels, unknown).encode(label_map, path)


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


def _thinned(shape: Shape3, step: int) -> Shape3:
    i, j, k = (math.ceil(n / step) for n in shape)
    return i, j, k


def _thinned_affine(affine: np.ndarray, step: int) -> np.ndarray:
    """Return the affine of every ``step``-th voxel; the first voxel stays where it is."""
    result = np.array(affine, np.float64)
    result[:3, :3] *= step
    return result


def read_maps(
    source: Path | str | Sequence[Path | str],
    recipe: Recipe,
    labels: str | Path = "generation_54",
    *,
    unknown: Unknown = "refuse",
    progress: OnProgress | None = None,
) -> LabelMaps:
    """Read label maps for a recipe; see :func:`synthseg_core.synth.maps.read_label_maps`.

    Parameters
    ----------
    source
        As for :func:`read_label_maps`.
    recipe
        Says which columns of the list and which voxels are taken.
    labels
        File of a label list, or name of one of the package's.
    unknown
        As for :func:`read_label_maps`.
    progress
        As for :func:`read_label_maps`.
    """
    listed = read_labels(labels, recipe)
    return read_label_maps(source, listed, unknown=unknown, step=recipe.map_step, progress=progress)


def read_labels(labels: str | Path, recipe: Recipe) -> GenerationLabels:
    """Read a label list with the recipe's columns; what has no extension is the name of one of the package's."""
    columns = (recipe.class_column, recipe.output_column)
    return (
        GenerationLabels.read(Path(labels), *columns)
        if Path(labels).suffix
        else GenerationLabels.builtin(str(labels), *columns)
    )
