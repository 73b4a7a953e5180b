"""Splines on the pixel-centre grids of nnU-Net: whole volumes, or slices where one axis is much coarser.

Reference behaviour: ``skimage.transform.resize`` without anti-aliasing as nnU-Net v2 calls it, which is a spline by
SciPy with the edge repeated, then cut to the range of its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import zoom

from synthseg_core.errors import ModelError
from synthseg_core.images.affines import Shape3, Size3
from synthseg_core.images.resampling import resample_axis, sampling_at

_COARSE_RATIO = 3  # nnU-Net's ANISO_THRESHOLD
SEPARATIONS = ("auto", "never", "always")


@dataclass(frozen=True)
class SplineRule:
    """How arrays change their size.

    Parameters
    ----------
    order
        Of the spline; 0 is the nearest voxel.
    coarse_order
        The same along an axis that is treated on its own.
    separate
        Whether the coarsest axis is: ``auto`` where it is more than three times coarser than the finest.
    """

    order: int = 3
    coarse_order: int = 0
    separate: str = "auto"

    def __post_init__(self) -> None:
        if self.separate not in SEPARATIONS:
            raise ModelError(
                "separate", found=repr(self.separate), expected=" or ".join(SEPARATIONS), remedy="correct the card"
            )
        if not (0 <= self.order <= 5 and 0 <= self.coarse_order <= 5):
            raise ModelError("order", found=repr(self), expected="0 to 5", remedy="correct the card")

    def resize(self, data: np.ndarray, shape: Shape3, spacing: Size3, wanted: Size3) -> np.ndarray:
        """Return an (I, J, K) array in another shape and its own number type; itself if it has that shape.

        Parameters
        ----------
        data
            Any floating type; the spline is computed in float64.
        shape
            Wanted.
        spacing, wanted
            Edges of the voxels now and then, mm; they decide only whether an axis is treated on its own.
        """
        if data.shape == shape:
            return data
        axis = coarse_axis(spacing, wanted, self.separate)
        values = data.astype(np.float64)
        if axis is None:
            return _resized(values, shape, self.order).astype(data.dtype)
        flat = tuple(n for a, n in enumerate(shape) if a != axis)
        slices = [_resized(one, flat, self.order) for one in np.moveaxis(values, axis, 0)]
        return _resized_axis(np.stack(slices, axis), shape[axis], axis, self.coarse_order).astype(data.dtype)


def coarse_axis(spacing: Size3, wanted: Size3, separate: str) -> int | None:
    """Return the axis to treat on its own: the scan's coarse one, or else that of the wanted grid."""
    if separate == "never":
        return None
    chosen = spacing if separate == "always" or _is_coarse(spacing) else wanted
    if separate == "auto" and not _is_coarse(chosen):
        return None
    coarsest = [axis for axis, edge in enumerate(chosen) if edge == max(chosen)]
    return coarsest[0] if len(coarsest) == 1 else None


def _is_coarse(spacing: Size3) -> bool:
    return max(spacing) / min(spacing) > _COARSE_RATIO


def _resized(data: np.ndarray, shape: Sequence[int], order: int) -> np.ndarray:
    """Return a float64 array of two or three axes in another shape."""
    if order == 1:
        for axis, count in enumerate(shape):
            data = _linear_axis(data, count, axis)
        return data
    factors = [wanted / n for wanted, n in zip(shape, data.shape, strict=True)]
    result = _zoomed(data, factors, order)
    return np.clip(result, data.min(), data.max(), out=result)


def _linear_axis(data: np.ndarray, count: int, axis: int) -> np.ndarray:
    if data.shape[axis] == count:
        return data
    return resample_axis(data, sampling_at(_centres(data.shape[axis], count), data.shape[axis]), axis)


def _resized_axis(data: np.ndarray, count: int, axis: int, order: int) -> np.ndarray:
    """Return an array with another number of slices."""
    if data.shape[axis] == count:
        return data
    if order == 0:  # an exact half goes up
        nearest = np.floor(_centres(data.shape[axis], count) + 0.5).astype(int)
        return data.take(np.clip(nearest, 0, data.shape[axis] - 1), axis)
    return _zoomed(data, [count / n if a == axis else 1.0 for a, n in enumerate(data.shape)], order)


def _zoomed(data: np.ndarray, factors: Sequence[float], order: int) -> np.ndarray:
    return np.asarray(zoom(data, factors, order=order, mode="nearest", grid_mode=True))


def _centres(source_count: int, count: int) -> np.ndarray:
    """Return where the centres of ``count`` voxels lie in ``source_count`` that fill the same length."""
    return source_count / count * (np.arange(count) + 0.5) - 0.5
