"""Linear interpolation between grids whose axes are not parallel: scans of a tilted gantry, and the way back to them.

Where axes are parallel, :mod:`synthseg_core.images.resampling` does the same axis by axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from synthseg_core.images.affines import Shape3

Corner = tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Source voxels (V,) along each axis, and their weights (V,)."""
# Posteriors add up to 1, up to rounding: where the background has more than half, no other class has.
_MAJORITY = 0.51
_SLACK_VOXELS = 1e-3


@dataclass(frozen=True)
class ShearedSampling:
    """Where each voxel of a target grid lies in a source array.

    Positions up to half a voxel outside the source are clamped to it; what is further out is not covered.

    Parameters
    ----------
    matrix : (4, 4)
        Target voxel to source voxel.
    shape
        Of the target.
    source_shape
        Of the source.
    window
        Start and stop of the part of the source that arrays hold; what lies outside is not covered.
    """

    matrix: np.ndarray
    shape: Shape3
    source_shape: Shape3
    window: tuple[Shape3, Shape3]

    def corners(self, plane: int, rows: np.ndarray, columns: np.ndarray) -> Iterator[Corner]:
        """Yield the source voxels of some voxels of a plane of the target, and their weights, corner by corner."""
        i, j, k, offset = self.matrix[:3].T[..., None]
        positions = i * plane + j * rows + k * columns + offset
        last = np.array(self.source_shape)[:, None] - 1
        beyond = np.maximum(-positions, positions - last).max(axis=0)
        clamped = np.clip(positions, 0, last)
        lower = np.clip(np.floor(clamped).astype(np.intp), 0, np.maximum(last - 1, 0))
        upper_weights = clamped - lower
        covered = (beyond <= 0.5 + _SLACK_VOXELS).astype(np.float64)
        start, stop = (np.array(corner)[:, None] for corner in self.window)
        for steps in product((0, 1), repeat=3):
            step = np.array(steps)[:, None]
            index = np.minimum(lower + step, last)
            weights = np.where(step, upper_weights, 1 - upper_weights).prod(axis=0) * covered
            weights *= ((index >= start) & (index < stop)).all(axis=0)
            if weights.any():
                x, y, z = np.clip(index - start, 0, stop - start - 1)
                yield (x, y, z), weights

    def resample(self, data: np.ndarray, fill: float = 0.0) -> np.ndarray:
        """Return an (I, J, K) array on the target grid, ``fill`` where it is not covered; the floating type is kept."""
        out = np.empty(self.shape, data.dtype)
        rows, columns = (axis.ravel() for axis in np.indices(self.shape[1:]))
        for plane, result in enumerate(out):
            values, total = np.zeros(rows.size), np.zeros(rows.size)
            for index, weights in self.corners(plane, rows, columns):
                values += weights * data[index]
                total += weights
            result[...] = (values + fill * (1 - total)).reshape(result.shape)
        return out

    def argmax(self, posteriors: np.ndarray) -> np.ndarray:
        """Return the class of (N, I, J, K) posteriors that is most probable on the target, the first on ties, uint16.

        What is not covered is class 0.
        """
        winner = np.zeros(self.shape, np.uint16)
        background = self.resample(posteriors[0], fill=1.0)
        for plane, result in enumerate(winner):
            rows, columns = np.nonzero(background[plane] < _MAJORITY)
            values = np.zeros((len(posteriors), rows.size), np.float32)
            values[0] = background[plane, rows, columns]
            for (i, j, k), weights in self.corners(plane, rows, columns):
                values[1:] += weights.astype(np.float32) * posteriors[1:, i, j, k]
            result[rows, columns] = values.argmax(axis=0)
        return winner
