"""Affines (4x4 float64, voxel centre to world mm, RAS+): voxel size, orientation, rescaling. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from synthseg_core.errors import GeometryError

# Half a degree: beyond rounding, below any gantry tilt.
SHEAR_TOLERANCE_DEGREES = 0.5

Size3: TypeAlias = tuple[float, float, float]
Shape3: TypeAlias = tuple[int, int, int]


def voxel_size(affine: np.ndarray) -> Size3:
    """Return the edge lengths in mm: the column norms of the 3x3 part."""
    i, j, k = np.sqrt((np.asarray(affine, dtype=np.float64)[:3, :3] ** 2).sum(axis=0))
    return float(i), float(j), float(k)


def unit_columns(affine: np.ndarray) -> np.ndarray:
    """Return the affine of the same axes with voxels of 1 mm."""
    result = np.array(affine, dtype=np.float64)
    result[:3, :3] /= voxel_size(affine)
    return result


def shear_degrees(affine: np.ndarray) -> float:
    """Return by how much the angle between two axes differs from 90 degrees, at most."""
    axes = unit_columns(affine)[:3, :3]
    cosines = np.abs((axes.T @ axes)[np.triu_indices(3, 1)])
    return float(np.degrees(np.arcsin(min(cosines.max(), 1.0))))


def is_sheared(affine: np.ndarray) -> bool:
    """Say whether axes are not perpendicular, beyond rounding."""
    return shear_degrees(affine) > SHEAR_TOLERANCE_DEGREES


def shear_factor(affine: np.ndarray) -> float:
    """Return the volume of a voxel relative to that of a box with the same edges.

    Rounded, so that perpendicular axes give 1 in whatever order they are stored.
    """
    return round(abs(float(np.linalg.det(unit_columns(affine)[:3, :3]))), 9)


def perpendicular_axes(affine: np.ndarray) -> np.ndarray:
    """Return the perpendicular unit axes (columns) that are nearest to those of an affine.

    The polar factor: other storage orders of a scan give the same axes, as the qform that belongs to a sheared sform.
    """
    left, _, right = np.linalg.svd(unit_columns(affine)[:3, :3])
    return left @ right


def affine_fault(affine: np.ndarray) -> str | None:
    """Say what makes an affine unusable: entries that are not finite, or a 3x3 part that flattens space."""
    if not np.all(np.isfinite(affine)):
        return "an affine with NaN or infinite entries"
    volume_mm3 = float(np.prod(voxel_size(affine)))
    # Relative to a box with the same edges; 1e-6 is far below any scanner's shear, far above float noise.
    if volume_mm3 == 0 or abs(np.linalg.det(affine[:3, :3])) < 1e-6 * volume_mm3:
        return "a singular affine (two axes point the same way or one has no length)"
    return None


def check_affine(affine: np.ndarray, subject: object) -> None:
    """Refuse an affine that :func:`affine_fault` finds fault with.

    Raises
    ------
    GeometryError
        If an entry is NaN or infinite, or the 3x3 part is singular relative to its own voxel size.
    """
    fault = affine_fault(affine)
    if fault is not None:
        raise GeometryError(
            subject,
            found=fault,
            expected="finite numbers" if "NaN" in fault else "three independent axes",
            remedy="repair the header (sform/qform) or convert the scan again",
        )


@dataclass(frozen=True)
class Orientation:
    """Signed permutation that brings an array to RAS+ and back, exactly.

    Parameters
    ----------
    axes
        ``axes[w]`` is the voxel axis that runs along world axis ``w``.
    flips
        ``flips[w]`` says whether that voxel axis runs against world axis ``w``.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def to_ras(self, data: np.ndarray) -> np.ndarray:
        """Return a view of ``data`` (spatial axes first) in RAS+ order."""
        ordered = data.transpose(*self.axes, *range(3, data.ndim))
        return ordered[self._reversals]

    def from_ras(self, data: np.ndarray) -> np.ndarray:
        """Undo :meth:`to_ras`."""
        return data[self._reversals].transpose(*np.argsort(self.axes), *range(3, data.ndim))

    def affine_to_ras(self, affine: np.ndarray, shape: Shape3) -> np.ndarray:
        """Return the affine of ``to_ras(data)``, for ``data`` of spatial ``shape`` with ``affine``."""
        result = np.array(affine, dtype=np.float64)
        result[:3, :3] = result[:3, list(self.axes)]
        for world, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            if flip:
                result[:3, 3] += result[:3, world] * (shape[axis] - 1)
                result[:3, world] *= -1
        return result

    @property
    def _reversals(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else None) for flip in self.flips)


def closest_ras(affine: np.ndarray) -> Orientation:
    """Find the signed axis permutation nearest to RAS+.

    For each world axis the voxel axis with the largest entry of the inverse wins; a voxel axis that is claimed twice
    goes to its first claimant and the last one takes what is left (reference behaviour). For all 48 axis orders of
    cubic voxels, rotated up to 25 degrees, this equals nibabel's ``as_closest_canonical``; pass other voxels through
    :func:`unit_columns`, because the inverse favours short edges (1 x 6 mm voxels turn wrong from 10 degrees on).
    """
    linear = np.asarray(affine, dtype=np.float64)[:3, :3]
    axes = [int(a) for a in np.argmax(np.abs(np.linalg.inv(linear)), axis=0)]
    for world in range(3):
        if axes[world] in axes[:world]:
            axes[world] = next(a for a in range(3) if a not in axes)
    flips = [bool(linear[world, axis] < 0) for world, axis in enumerate(axes)]
    return Orientation((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))


def triple(values: Iterable[Any]) -> tuple[Any, Any, Any]:
    """Return exactly three values as a tuple."""
    i, j, k = values
    return i, j, k


def isotropic(value: Any) -> tuple[Any, Any, Any]:
    """Return ``value`` for each of the three axes."""
    return value, value, value
