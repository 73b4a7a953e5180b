"""Parcels of the cortex: which parcel each voxel of the cortex belongs to, and how much of each parcel there is.

Posteriors of parcels are looked at as they come and kept only where another grid needs them: 68 parcels of a whole head
take 2.3 GB, around its cortex a tenth. All arrays are in RAS order, on the unpadded (and, with a crop, cropped) grid of
the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from synthseg_core.images.affines import Shape3
from synthseg_core.images.resampling import AxisSampling, Samplings
from synthseg_core.images.shear import Corner, ShearedSampling
from synthseg_core.labels.table import CORTEX_LABELS, LabelTable
from synthseg_core.quirks import NATIVE, Quirks
from synthseg_core.segmentation.channels import array_order_sum
from synthseg_core.segmentation.cleanup import check_channels

# Number along the axis and weight of one of the two samples that an interpolation reads.
_End = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ParcelMap:
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


class ParcelRows:
    """Gives every voxel of the cortex the label of its most probable parcel, as the network's rows arrive.

    Left cortex becomes left parcels and right cortex right ones; parcel posteriors are normalised over the parcels of
    that side and summed inside the cortex. With the quirk ``loose_parcels`` they compete across the hemispheres and
    are summed everywhere, against a background of probability one outside the cortex.

    Planes along the first axis do not depend on each other: how many arrive at once changes nothing.

    Parameters
    ----------
    label_map : (I, J, K)
        Segmentation; left as it is.
    table
        The M labels of the parcels.
    pad_start
        Its first voxel in the padded grid that the rows come in.
    quirks
        What to copy from the reference implementation.
    """

    def __init__(
        self, label_map: np.ndarray, table: LabelTable, pad_start: Shape3 = (0, 0, 0), quirks: Quirks = NATIVE
    ) -> None:
        self._parcels = np.array(label_map, dtype=np.int32)
        self._soft_voxels = np.zeros(len(table))
        self._table = table
        self._pad_start = pad_start
        self._divide = _divide_loosely if quirks.loose_parcels else _divide_by_side

    def take(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Divide the cortex of the rows [start, stop), posteriors (M, stop - start, J, K) of the padded grid."""
        check_channels(rows, self._table)
        for row, plane in _unpadded_planes(start, stop, rows, self._pad_start, self._parcels.shape):
            self._soft_voxels += self._divide(self._parcels[row], plane, self._table)

    def result(self) -> ParcelMap:
        """Return what the rows have made of the cortex so far."""
        return ParcelMap(self._parcels, self._soft_voxels)


def candidates_of(table: LabelTable, side: str) -> list[int]:
    """Return the channels of the parcels that the cortex of a side can become."""
    return [k for k in range(1, len(table)) if table.sides[k] in (side, "neutral")]


def _divide_by_side(labels: np.ndarray, plane: np.ndarray, table: LabelTable) -> np.ndarray:
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


def _divide_loosely(labels: np.ndarray, plane: np.ndarray, table: LabelTable) -> np.ndarray:
    """Do the same as the reference: no hemispheres, sums over all voxels, float32."""
    cortex = np.isin(labels, list(CORTEX_LABELS.values()))
    channels = [(~cortex).astype(plane.dtype), *plane[1:]]
    with np.errstate(invalid="ignore"):
        normalised = np.stack(channels) / array_order_sum(channels)
    labels[cortex] = np.asarray(table.labels)[normalised[:, cortex].argmax(axis=0)]
    soft_voxels = normalised.sum(axis=(1, 2), dtype=np.float64)
    soft_voxels[0] = 0
    return soft_voxels


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
    samplings: Samplings


def cortex_of(labels: np.ndarray) -> np.ndarray:
    """Say where a label map has cortex."""
    return np.isin(labels, list(CORTEX_LABELS.values()))


def needed_voxels(shape: tuple[int, ...], targets: Sequence[Target]) -> np.ndarray:
    """Return the voxels of the network's grid, bool, that the cortex of the targets is made from, up to eight each.

    Parameters
    ----------
    shape
        Of the network's unpadded grid.
    targets
        Label maps on other grids.
    """
    needed = np.zeros(shape, dtype=bool)
    for target in targets:
        for plane, inside in enumerate(cortex_of(target.labels)):
            rows, columns = np.nonzero(inside)
            for (i, j, k), weights in _corners(target.samplings, plane, rows, columns):
                read = weights > 0
                needed[i[read], j[read], k[read]] = True
    return needed


class SparsePosteriors:
    """Posteriors of some voxels, taken from rows as a network delivers them.

    Parameters
    ----------
    needed : (I, J, K) bool
        Voxels to keep.
    channels
        Number of classes.
    pad_start
        First of these voxels in the padded grid that the rows come in.
    """

    def __init__(self, needed: np.ndarray, channels: int, pad_start: Shape3) -> None:
        self._pad_start = pad_start
        self._where = needed
        self._number = np.cumsum(needed, dtype=np.int32).reshape(needed.shape) - 1
        self._values = np.zeros((int(needed.sum()), channels), np.float32)

    def take(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Keep what is needed of the rows [start, stop), (N, stop - start, J, K), of the padded grid."""
        for row, plane in _unpadded_planes(start, stop, rows, self._pad_start, self._where.shape):
            where = self._where[row]
            self._values[self._number[row][where]] = plane[:, where].T

    def interpolated(self, samplings: Samplings, plane: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
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


def _unpadded_planes(
    start: int, stop: int, rows: np.ndarray, pad_start: Shape3, shape: tuple[int, ...]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield number and view (N, J, K) of those rows [start, stop) of a padded grid that lie in the unpadded one."""
    first, below, behind = pad_start
    for row in range(max(start, first), min(stop, first + shape[0])):
        yield row - first, rows[:, row - start, below : below + shape[1], behind : behind + shape[2]]


def _corners(samplings: Samplings, plane: int, rows: np.ndarray, columns: np.ndarray) -> Iterator[Corner]:
    """Yield the source voxels of some voxels of a plane, and their weights, for each corner that has any."""
    if isinstance(samplings, ShearedSampling):
        yield from ((index, weights.astype(np.float32)) for index, weights in samplings.corners(plane, rows, columns))
        return
    first, second, third = samplings
    for i, its_weight in _pair(first, np.array([plane])):
        for j, row_weights in _pair(second, rows):
            for k, column_weights in _pair(third, columns):
                weights = (its_weight * row_weights * column_weights).astype(np.float32)
                if weights.any():
                    yield (np.broadcast_to(i, j.shape), j, k), weights


def _pair(sampling: AxisSampling, at: np.ndarray) -> tuple[_End, _End]:
    return (
        (sampling.lower[at], sampling.lower_weight[at]),
        (sampling.upper[at], sampling.upper_weight[at]),
    )
