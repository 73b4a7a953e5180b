"""Count what a folder of label maps holds: which values, how often, and on which side of the head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.images.affines import Shape3, Size3, voxel_size
from synthseg_core.images.label_maps import common_grid, label_map_paths, read_ras_labels
from synthseg_core.system.progress import OnProgress


@dataclass(frozen=True)
class MapCounts:
    """Labels of one map.

    Parameters
    ----------
    path
        The file.
    values
        Values that occur, ascending.
    voxels
        Number of voxels of each.
    centres
        Mean position of each along the left-right axis, in voxels; it grows from left to right.
    """

    path: Path
    values: tuple[int, ...]
    voxels: tuple[int, ...]
    centres: tuple[float, ...]


@dataclass(frozen=True)
class Occurrence:
    """How often a label occurs: number of maps, and voxels in the maps that have it."""

    maps: int = 0
    voxels_min: int = 0
    voxels_mean: int = 0
    voxels_max: int = 0


@dataclass(frozen=True)
class LabelScan:
    """Labels of all maps, which have one shape and voxel size.

    Parameters
    ----------
    maps
        Counts of each map.
    shape
        Voxels of each map in RAS+ order.
    voxel_size
        Edge lengths in mm.
    """

    maps: tuple[MapCounts, ...]
    shape: Shape3
    voxel_size: Size3

    def values(self) -> tuple[int, ...]:
        """Return every value that occurs in a map, ascending."""
        return tuple(sorted({value for counts in self.maps for value in counts.values}))

    def occurrence(self, value: int) -> Occurrence:
        """Return how often a value occurs."""
        voxels = [n for counts in self.maps for v, n in zip(counts.values, counts.voxels, strict=True) if v == value]
        if not voxels:
            return Occurrence()
        return Occurrence(len(voxels), min(voxels), round(math.fsum(voxels) / len(voxels)), max(voxels))


def scan_label_maps(source: Path | str | Sequence[Path | str], progress: OnProgress | None = None) -> LabelScan:
    """Read every map once and count its labels.

    Parameters
    ----------
    source
        A folder, one file, or several.
    progress
        Called with the number of maps read and of all maps.

    Raises
    ------
    InputError
        If there are no files, shapes or voxel sizes differ, or a file is unreadable, no label map, or empty.
    """
    paths = label_map_paths(source)
    grid = common_grid(paths)
    counted: list[MapCounts] = []
    for path in paths:
        counted.append(count_labels(read_ras_labels(path).data, path))
        if progress is not None:
            progress(len(counted), len(paths))
    return LabelScan(tuple(counted), grid.shape, voxel_size(grid.affine))


def count_labels(label_map: np.ndarray, path: Path) -> MapCounts:
    """Count the labels of a map (I, J, K) in RAS+ order, sagittal slice by sagittal slice to spare memory."""
    present = np.zeros(int(label_map.max()) + 1, bool)
    present[label_map] = True
    values = np.flatnonzero(present)
    position = np.zeros(len(present), np.int64)
    position[values] = np.arange(len(values))
    per_slice = np.stack([np.bincount(position[plane].ravel(), minlength=len(values)) for plane in label_map])
    voxels = per_slice.sum(axis=0)
    centres = np.arange(len(per_slice)) @ per_slice / voxels
    return MapCounts(path, tuple(values.tolist()), tuple(voxels.tolist()), tuple(centres.tolist()))
