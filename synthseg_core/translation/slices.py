"""Slices of a scan in one plane, with pixels of one size, and the way back to the scan's own voxels.

An oblique scan is cut along its own voxels: nothing is rotated, and slices are neither merged nor made up. Within a
slice pixels are interpolated linearly around its centre; edges that differ from the wanted one by less than
``TOLERANCE_MM`` count as equal, and then the way there and back changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from synthseg_core.errors import UsageError
from synthseg_core.images.affines import Orientation, Shape3, Size3, closest_ras, unit_columns
from synthseg_core.images.planes import PLANES, Plane
from synthseg_core.images.resampling import AxisSampling, centred_sampling, resample
from synthseg_core.images.volume import Volume

PLANE_NAMES = tuple(plane.name for plane in PLANES)
TOLERANCE_MM = 0.05
"""As for the networks that segment."""
_PREFILTER_SIGMA = 0.25  # of a pixel that becomes larger, in new pixels; as in segmentation.conform
_SLACK = 1e-3  # a grid may end this much short of the edge, in pixels


@dataclass(frozen=True)
class Slicing:
    """How slices come from a scan.

    Parameters
    ----------
    plane
        Across which axis, and how a slice is looked at.
    orientation
        From the axes of the file to RAS+.
    shape
        Voxels of the scan, RAS+.
    counts
        Pixels and slices, RAS+.
    steps
        Distance of pixels in voxels of the scan, RAS+; 1 across slices.
    spacing_mm, distance_mm
        Edge of a pixel, and from the middle of one slice to the next.
    """

    plane: Plane
    orientation: Orientation
    shape: Shape3
    counts: Shape3
    steps: Size3
    spacing_mm: float
    distance_mm: float

    def slices(self, data: np.ndarray) -> np.ndarray:
        """Return the slices of an array in the axis order of the file, as float.

        Parameters
        ----------
        data : (I, J, K)
            Scan, or a map of the same shape.

        Returns
        -------
        (N, height, width)
            From left, back or below; each as radiologists look at it.
        """
        ras = self.orientation.to_ras(data)
        ras = ras if ras.dtype.kind == "f" else ras.astype(np.float32)
        sigmas = [_PREFILTER_SIGMA * step if step > 1 else 0.0 for step in self.steps]
        filtered = gaussian_filter(ras, sigmas) if any(sigmas) else np.ascontiguousarray(ras)
        return np.ascontiguousarray(self._seen(resample(filtered, self._rules)))

    def volume(self, images: np.ndarray) -> np.ndarray:
        """Return slices (N, height, width) as an array in shape and axis order of the file, interpolated linearly."""
        ras = self._seen_back(images)
        back = [
            centred_sampling(count, 1 / step, made)
            for count, step, made in zip(self.shape, self.steps, self.counts, strict=True)
        ]
        return np.ascontiguousarray(self.orientation.from_ras(resample(np.ascontiguousarray(ras), back)))

    @property
    def _rules(self) -> list[AxisSampling]:
        return [centred_sampling(*rule) for rule in zip(self.counts, self.steps, self.shape, strict=True)]

    @property
    def _axes(self) -> tuple[int, int, int]:
        return self.plane.axis, self.plane.up, self.plane.across

    def _seen(self, ras: np.ndarray) -> np.ndarray:
        return ras.transpose(self._axes)[:, ::-1, ::-1]

    def _seen_back(self, images: np.ndarray) -> np.ndarray:
        return images[:, ::-1, ::-1].transpose(np.argsort(self._axes))


def plan_slices(volume: Volume, plane: str, spacing_mm: float) -> Slicing:
    """Find out how a scan is cut; nothing is computed yet.

    Parameters
    ----------
    volume
        Its shape and affine count.
    plane
        ``axial``, ``coronal`` or ``sagittal``.
    spacing_mm
        Edge of a pixel.

    Raises
    ------
    UsageError
        If there is no such plane, or the edge is not positive.
    """
    chosen = next((one for one in PLANES if one.name == plane), None)
    if chosen is None:
        raise UsageError("plane", found=plane, expected=f"one of {', '.join(PLANE_NAMES)}", remedy="correct it")
    if not spacing_mm > 0:
        raise UsageError("spacing", found=f"{spacing_mm:g} mm", expected="more than 0", remedy="correct it")
    orientation = closest_ras(unit_columns(volume.affine))
    i, j, k = (volume.shape[axis] for axis in orientation.axes)
    sizes = [volume.voxel_size[axis] for axis in orientation.axes]
    factors = [
        1.0 if axis == chosen.axis or abs(size - spacing_mm) <= TOLERANCE_MM else size / spacing_mm
        for axis, size in enumerate(sizes)
    ]
    counts = [max(1, int(np.ceil(n * f - _SLACK))) for n, f in zip((i, j, k), factors, strict=True)]
    return Slicing(
        chosen,
        orientation,
        (i, j, k),
        (counts[0], counts[1], counts[2]),
        (1 / factors[0], 1 / factors[1], 1 / factors[2]),
        spacing_mm,
        sizes[chosen.axis],
    )
