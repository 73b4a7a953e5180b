"""Logits of an nnU-Net, and how they become label maps: resampled label by label, so that one more map is held at most.

On the scan's own grid this is what nnU-Net v2 does; on other grids logits are interpolated linearly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from synthseg_core.images.affines import Shape3, Size3, triple
from synthseg_core.images.grids import Grid
from synthseg_core.images.resampling import resample
from synthseg_core.images.shear import ShearedSampling
from synthseg_core.images.volume import Volume
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.nnunet_plan import NnUNetPlan
from synthseg_core.segmentation.record import ConformRecord, same_grid

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Logits:
    """Logits on the grid of an nnU-Net, in its axis order.

    Parameters
    ----------
    values : (N, A, B, C) float16 or float32
        The type is also that of what is resampled from them.
    plan
        Of the network.
    spacing
        Edges of the scan's voxels as the plan was told, mm, axis order of the network.
    box
        What of the scan the network saw, axis order of the network; all else is background.
    record
        How the network's grid lies on the scan.
    labels
        Meaning of the channels.
    """

    values: np.ndarray
    plan: NnUNetPlan
    spacing: Size3
    box: Box
    record: ConformRecord
    labels: LabelTable

    @property
    def posteriors(self) -> np.ndarray:
        """Posteriors (N, I, J, K) float32 on the network's grid, RAS."""
        result = np.empty(self.values.shape, np.float32)
        for row in range(self.values.shape[1]):
            result[:, row] = _softmax(self.values[:, row])
        return np.moveaxis(self._ras(np.moveaxis(result, 0, -1)), -1, 0)

    @property
    def class_map(self) -> np.ndarray:
        """Most probable channel (I, J, K) on the network's grid, RAS; the first on ties."""
        return self._ras(_argmax(self.values))

    def label_map_on(self, grid: Grid) -> Volume:
        """Return the label map on a grid over the scan."""
        if same_grid(grid, self.record.source):
            winner = self._pasted(_argmax(self._on_scan()))
        else:
            winner = _argmax(self._on(grid)) * self._covered(grid)
        values = np.asarray(self.labels.labels, dtype=np.int32)[winner]
        return Volume(self.record.to_source_order(values), grid.affine)

    def posteriors_on(self, grid: Grid) -> Iterator[np.ndarray]:
        """Yield the posteriors of each class on a grid over the scan, in the scan's axis order."""
        largest = total = None
        for channel in self._on(grid):  # the sum of exponentials, kept relative to the largest logit so far
            if largest is None or total is None:
                largest, total = channel.copy(), np.ones_like(channel)
                continue
            higher = np.maximum(largest, channel)
            total = total * np.exp(largest - higher) + np.exp(channel - higher)
            largest = higher
        assert largest is not None
        covered = self._covered(grid)
        for number, channel in enumerate(self._on(grid)):
            posterior = np.where(covered, np.exp(channel - largest) / total, np.float32(number == 0))
            yield self.record.to_source_order(posterior)

    def soft_voxels(self, *, single_precision: bool = False) -> np.ndarray:
        """Return the sum of the posteriors of each class; always in double precision."""
        del single_precision  # a quirk of another family
        rows = range(self.values.shape[1])
        return sum((_softmax(self.values[:, row]).sum(axis=(1, 2), dtype=np.float64) for row in rows), np.zeros(1))

    def _on_scan(self) -> Iterator[np.ndarray]:
        """Yield each channel at the scan's voxels within the box, in the network's axis order."""
        shape = triple(part.stop - part.start for part in self.box)
        for channel in self.values:
            yield self.plan.logits.resize(channel, shape, self.plan.spacing_mm, self.spacing)

    def _pasted(self, winner: np.ndarray) -> np.ndarray:
        """Put the class map of the box into the whole scan, RAS."""
        shape = self._ras_shape(self.record.source_shape)
        whole = np.zeros([shape[axis] for axis in self.plan.axes], winner.dtype)
        whole[self.box] = winner
        return self._ras(whole)

    def _on(self, grid: Grid) -> Iterator[np.ndarray]:
        """Yield each channel on another grid, RAS, float32."""
        samplings = self.record.samplings(grid)
        for channel in self.values:
            data = np.ascontiguousarray(self._ras(channel), dtype=np.float32)
            yield samplings.resample(data) if isinstance(samplings, ShearedSampling) else resample(data, samplings)

    def _covered(self, grid: Grid) -> np.ndarray:
        """Return where a grid lies within the box, RAS."""
        samplings = self.record.samplings(grid)
        if isinstance(samplings, ShearedSampling):
            return samplings.resample(np.ones(self.record.grid_shape, np.float32)) > 0.5
        i, j, k = self.record.covered(grid)
        return i[:, None, None] & j[:, None] & k

    def _ras(self, array: np.ndarray) -> np.ndarray:
        """Return an array of the network's axis order, perhaps with channels behind, as RAS."""
        return array.transpose(*np.argsort(self.plan.axes), *range(3, array.ndim))

    def _ras_shape(self, shape: Shape3) -> Shape3:
        return triple(shape[axis] for axis in self.record.orientation.axes)


def _argmax(channels: Iterable[np.ndarray]) -> np.ndarray:
    """Return the number of the largest channel at every voxel, the first on ties, uint8."""
    best = winner = None
    for number, channel in enumerate(channels):
        value = channel.astype(np.float32)  # half numbers are compared slowly
        if best is None or winner is None:
            best, winner = value, np.zeros(value.shape, np.uint8 if number < 256 else np.uint16)
            continue
        wins = value > best
        best[wins] = value[wins]
        winner[wins] = number
    assert winner is not None
    return winner


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the first axis, float32."""
    values = logits.astype(np.float32)
    values -= values.max(axis=0)
    np.exp(values, out=values)
    values /= values.sum(axis=0)
    return values
