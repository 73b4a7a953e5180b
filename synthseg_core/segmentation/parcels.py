"""Parcels of the cortex: which parcel each voxel of the cortex belongs to, and how much of each parcel there is.

Posteriors kept only where somebody will look: 68 parcels of a whole head take 2.3 GB, around its cortex a tenth.

All arrays are in RAS order, on the unpadded (and, with a crop, cropped) grid of the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from synthseg_core.images.affines import Shape3
from synthseg_core.images.resampling import AxisSampling
from synthseg_core.labels.table import CORTEX_LABELS, LabelTable
from synthseg_core.quirks import NATIVE, Quirks
from synthseg_core.segmentation.channels import array_order_sum, planes
from synthseg_core.segmentation.cleanup import check_channels


@dataclass(frozen=True)
class Parcellation:
    """Label map with the cortex replaced by parcels.

    Parameters
    ----------
    label_map : (I, J, K)
        Labels, int32.
    soft_voxels : (M,)
        Sums of the normalised parcel posteriors, voxels, one per channel of the parcel table; 0 for the background.
    """

    label_map: np.ndarray
    soft_voxels: np.ndarray


def apply_parcellation(
    label_map: np.ndarray, posteriors: np.ndarray, table: LabelTable, quirks: Quirks = NATIVE
) -> Parcellation:
    """Give every voxel of the cortex the label of its most probable parcel.

    Left cortex becomes left parcels and right cortex right ones; parcel posteriors are normalised over the parcels of
    that side and summed inside the cortex. With the quirk ``loose_parcels`` they compete across the hemispheres and
    are summed everywhere, against a background of probability one outside the cortex.

    Planes along the first spatial axis do not depend on each other: slabs give the same answer as the whole when
    their maps are put together and their ``soft_voxels`` added up.

    Parameters
    ----------
    label_map : (I, J, K)
        Segmentation, unpadded.
    posteriors : (M, I, J, K)
        Answer of the parcellation network, unpadded, background first.
    table
        The M labels of the parcels.
    """
    check_channels(posteriors, table)
    return parcellate_planes(label_map, planes(posteriors), table, quirks)


def parcellate_planes(
    label_map: np.ndarray, posteriors: Iterable[np.ndarray], table: LabelTable, quirks: Quirks = NATIVE
) -> Parcellation:
    """Do what :func:`apply_parcellation` does, with posteriors that come as planes (M, J, K) along the first axis."""
    parcels = np.array(label_map, dtype=np.int32)
    soft_voxels = np.zeros(len(table))
    parcellate = _parcellate_loosely if quirks.loose_parcels else _parcellate_by_side
    for labels, plane in zip(parcels, posteriors, strict=True):
        soft_voxels += parcellate(labels, plane, table)
    return Parcellation(parcels, soft_voxels)


def candidates_of(table: LabelTable, side: str) -> list[int]:
    """Return the channels of the parcels that the cortex of a side can become."""
    return [k for k in range(1, len(table)) if table.sides[k] in (side, "neutral")]


def _parcellate_by_side(labels: np.ndarray, plane: np.ndarray, table: LabelTable) -> np.ndarray:
    """Replace the cortex in ``labels`` (J, K) in place, one side at a time; return the sums over it, voxels."""
    soft_voxels = np.zeros(len(table))
    for side, cortex in CORTEX_LABELS.items():
        channels = candidates_of(table, side)
        rows, columns = np.nonzero(labels == cortex)
        candidates = plane[channels][:, rows, columns].astype(np.float64)
        total = candidates.sum(axis=0)
        answered = total > 0
        rows, columns, candidates = rows[answered], columns[answered], candidates[:, answered] / total[answered]
        labels[rows, columns] = np.asarray(table.labels)[channels][candidates.argmax(axis=0)]
        soft_voxels[channels] += candidates.sum(axis=1)
    return soft_voxels


def _parcellate_loosely(labels: np.ndarray, plane: np.ndarray, table: LabelTable) -> np.ndarray:
    """Do the same as the reference: no hemispheres, sums over all voxels, float32."""
    cortex = np.isin(labels, list(CORTEX_LABELS.values()))
    channels = [(~cortex).astype(plane.dtype), *plane[1:]]
    with np.errstate(invalid="ignore"):
        normalised = np.stack(channels) / array_order_sum(channels)
    labels[cortex] = np.asarray(table.labels)[normalised[:, cortex].argmax(axis=0)]
    soft_voxels = normalised.sum(axis=(1, 2), dtype=np.float64)
    soft_voxels[0] = 0
    return soft_voxels


# (number in the plane or nothing for its own axis, weight) of the two samples that an interpolation reads.
_Corner = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Target:
    """A label map whose cortex is to be divided.

    Parameters
    ----------
    labels : (I, J, K)
        Segmentation there, RAS.
    samplings
        Rules that take the network's grid there; from :meth:`ConformRecord.samplings`.
    """

    labels: np.ndarray
    samplings: Sequence[AxisSampling]


def cortex_of(labels: np.ndarray) -> np.ndarray:
    """Say where a label map has cortex."""
    return np.isin(labels, list(CORTEX_LABELS.values()))


def needed_voxels(labels: np.ndarray, targets: Sequence[Target]) -> np.ndarray:
    """Return the voxels of the network's grid, bool, that the cortex is made from.

    Parameters
    ----------
    labels : (I, J, K)
        Segmentation on the network's grid; its own cortex is needed as well.
    targets
        Other grids, each of whose cortex voxels reads up to eight voxels of the network's.
    """
    needed = cortex_of(labels)
    for target in targets:
        for plane, inside in enumerate(cortex_of(target.labels)):
            rows, columns = np.nonzero(inside)
            for (i, j, k), weights in _corners(target.samplings, plane, rows, columns):
                read = weights > 0
                needed[i, j[read], k[read]] = True
    return needed


class SparsePosteriors:
    """Posteriors of some voxels, taken from slabs as a network delivers them.

    Parameters
    ----------
    needed : (I, J, K) bool
        Voxels to keep.
    channels
        Number of classes.
    pad_start
        First of these voxels in the padded grid that the slabs come in.
    """

    def __init__(self, needed: np.ndarray, channels: int, pad_start: Shape3) -> None:
        self._pad_start = pad_start
        self._where = needed
        self._number = np.cumsum(needed, dtype=np.int32).reshape(needed.shape) - 1
        self._values = np.zeros((int(needed.sum()), channels), np.float32)

    def take(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Keep what is needed of the rows [start, stop), (N, stop - start, J, K), of the padded grid."""
        first, below, behind = self._pad_start
        shape = self._where.shape
        for row in range(max(start, first), min(stop, first + shape[0])):
            plane = rows[:, row - start, below : below + shape[1], behind : behind + shape[2]]
            where = self._where[row - first]
            self._values[self._number[row - first][where]] = plane[:, where].T

    def planes(self) -> Iterator[np.ndarray]:
        """Yield (N, J, K) along the first axis, 0 where nothing was kept."""
        for where, number in zip(self._where, self._number, strict=True):
            plane = np.zeros((self._values.shape[1], *where.shape), np.float32)
            plane[:, where] = self._values[number[where]].T
            yield plane

    def interpolated(
        self, samplings: Sequence[AxisSampling], plane: int, rows: np.ndarray, columns: np.ndarray
    ) -> np.ndarray:
        """Return the posteriors (N, V) at voxels of one plane of another grid, all of whose sources were kept."""
        result = np.zeros((len(rows), self._values.shape[1]), np.float32)
        for (i, j, k), weights in _corners(samplings, plane, rows, columns):
            result += weights[:, None] * self._values[self._number[i, j, k]]
        return result.T


def parcels_on(target: Target, posteriors: SparsePosteriors, table: LabelTable) -> np.ndarray:
    """Return the label map of a target with parcels in place of its cortex, int32.

    Each parcel is interpolated linearly; the most probable one of the side of the cortex wins, the first on ties. A
    voxel where all of them are zero stays cortex.
    """
    result = np.array(target.labels, dtype=np.int32)
    for plane, labels in enumerate(result):
        for side, cortex in CORTEX_LABELS.items():
            channels = candidates_of(table, side)
            rows, columns = np.nonzero(labels == cortex)
            candidates = posteriors.interpolated(target.samplings, plane, rows, columns)[channels]
            values = np.asarray(table.labels)[channels][candidates.argmax(axis=0)]
            labels[rows, columns] = np.where(candidates.any(axis=0), values, cortex)
    return result


def _corners(
    samplings: Sequence[AxisSampling], plane: int, rows: np.ndarray, columns: np.ndarray
) -> Iterator[tuple[tuple[int, np.ndarray, np.ndarray], np.ndarray]]:
    """Yield the source voxels of some voxels of a plane, and their weights (V,), for each corner that has any."""
    first, second, third = samplings
    for i, its_weight in _pair(first, np.array([plane])):
        for j, row_weights in _pair(second, rows):
            for k, column_weights in _pair(third, columns):
                weights = (its_weight * row_weights * column_weights).astype(np.float32)
                if weights.any():
                    yield (int(i[0]), j, k), weights


def _pair(sampling: AxisSampling, at: np.ndarray) -> tuple[_Corner, _Corner]:
    return (
        (sampling.lower[at], sampling.lower_weight[at]),
        (sampling.upper[at], sampling.upper_weight[at]),
    )
