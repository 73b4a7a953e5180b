"""Checks of a scan's header and values: errors for what cannot be used, one-line warnings for what is doubtful.

Pure functions on numbers; reading the file is :mod:`synthseg_core.images.reading`'s part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.errors import GeometryError, InputError
from synthseg_core.images.affines import Shape3, Size3, is_sheared, shear_degrees, shear_factor, voxel_size
from synthseg_core.system.words import counted

# Finer than any in-vivo scan, and coarser than any localiser; beyond them the unit is almost certainly wrong.
SMALLEST_VOXEL_MM, LARGEST_VOXEL_MM = 0.05, 20.0
# A quaternion in float32 places the far corner of a head to about 1e-3 mm; half a millimetre is a real conflict.
FORM_TOLERANCE_MM = 0.5
SIZE_TOLERANCE_MM = 0.01
_FAR_MM = 10_000.0
THIN_SLICES = 10
SMALL_EXTENT_MM = 50.0
_UNIT_IN_MM = {"meter": 1000.0, "micron": 0.001}
NO_ORIENTATION = "the header stores no orientation ({how}); left and right cannot be known"


@dataclass(frozen=True)
class Forms:
    """The two placements that a NIfTI header can hold; ``None`` where the code says "unknown"."""

    sform: np.ndarray | None
    qform: np.ndarray | None


def sizes_text(sizes_mm: Sequence[float]) -> str:
    """Return for instance ``1 x 1 x 2.5 mm``."""
    return " x ".join(f"{size:.4g}" for size in sizes_mm) + " mm"


def unit_in_mm(sizes: Size3, unit: str) -> tuple[float, list[str]]:
    """Return what the lengths of a header have to be multiplied by to be mm, and a line about that.

    Parameters
    ----------
    sizes
        Edge lengths as stored.
    unit
        Name of the unit in the header: ``mm``, ``meter``, ``micron`` or ``unknown``, which is taken as mm. Sizes that a
        head scan has in mm are taken as mm whatever the unit: then the unit is what is wrong.
    """
    if unit not in _UNIT_IN_MM:
        return 1.0, []
    if _is_plausible(sizes):
        return 1.0, [f"the header's unit is {unit}, but voxels of {sizes_text(sizes)} are plausible; mm is assumed"]
    return _UNIT_IN_MM[unit], [f"the header's unit is {unit}; its lengths are read as such"]


def check_voxel_size(sizes_mm: Size3, path: Path) -> None:
    """Refuse sizes that no head scan has.

    Raises
    ------
    GeometryError
        If an edge is outside 0.05 to 20 mm.
    """
    if not _is_plausible(sizes_mm):
        raise GeometryError(
            path,
            found=f"voxels of {sizes_text(sizes_mm)}",
            expected=f"{SMALLEST_VOXEL_MM} to {LARGEST_VOXEL_MM:g} mm",
            remedy="correct the voxel sizes in the header, or their unit",
        )


def _is_plausible(sizes_mm: Size3) -> bool:
    return all(SMALLEST_VOXEL_MM <= size <= LARGEST_VOXEL_MM for size in sizes_mm)


def size_conflict(header_mm: Size3, affine_mm: Size3) -> list[str]:
    """Warn when the header's voxel sizes are not those of its affine."""
    if np.allclose(header_mm, affine_mm, rtol=0, atol=SIZE_TOLERANCE_MM):
        return []
    return [f"the header's voxel size is {sizes_text(header_mm)}, but its affine says {sizes_text(affine_mm)}"]


def form_conflict(forms: Forms, shape: Shape3) -> list[str]:
    """Warn when sform and qform place the scan differently, or when neither places it."""
    if forms.sform is None and forms.qform is None:
        return [NO_ORIENTATION.format(how="sform and qform codes are 0")]
    if forms.sform is None or forms.qform is None:
        return []
    distance_mm = _largest_corner_distance(forms.sform, forms.qform, shape)
    if distance_mm <= FORM_TOLERANCE_MM:
        return []
    mirrored = np.linalg.det(forms.sform[:3, :3]) * np.linalg.det(forms.qform[:3, :3]) < 0
    turn = "one mirrors the other" if mirrored else f"by {_angle(forms.sform, forms.qform):.1f} degrees"
    far = f"up to {distance_mm:.1f} mm" if distance_mm < _FAR_MM else f"more than {_FAR_MM / 1000:g} m"
    return [f"sform and qform differ by {far} and {turn}; the sform is used"]


def shear(affine: np.ndarray, *, ignored: bool = False) -> list[str]:
    """Warn about axes that are not perpendicular, as of a tilted gantry; ``ignored``: they count as such."""
    if not is_sheared(affine):
        return []
    found = f"the axes are sheared by {shear_degrees(affine):.1f} degrees"
    if ignored:
        excess = 100 / shear_factor(affine) - 100
        return [f"{found} and taken as perpendicular, as in the reference: volumes are {excess:.1f} % too large"]
    return [
        f"{found}; the scan is brought to perpendicular axes, so that volumes and outputs at 1 mm are right; outputs "
        "on its own grid keep its sheared voxels"
    ]


def coverage(shape: Shape3, sizes_mm: Size3) -> list[str]:
    """Warn about stacks of few slices and fields of view smaller than a brain."""
    extents = [n * size for n, size in zip(shape, sizes_mm, strict=True)]
    thinnest = int(np.argmin(shape))
    if shape[thinnest] <= THIN_SLICES:
        slices = counted(shape[thinnest], "slice")
        return [f"only {slices} ({extents[thinnest]:.0f} mm) along axis {thinnest + 1}; results are poor"]
    if min(extents) < SMALL_EXTENT_MM:
        return [f"the field of view of {sizes_text(extents)} is smaller than a brain; results may be poor"]
    return []


def replace_non_finite(data: np.ndarray, path: Path) -> list[str]:
    """Replace NaN and infinite voxels in place by the smallest finite value; say how many there were.

    Raises
    ------
    InputError
        If no voxel is finite.
    """
    if np.isfinite(data.min()) and np.isfinite(data.max()):
        return []
    bad = ~np.isfinite(data)
    count = int(np.count_nonzero(bad))
    if count == data.size:
        raise InputError(
            path, found="no finite voxel", expected="a scan", remedy="convert the scan again from its source"
        )
    smallest = float(data.min(where=~bad, initial=np.inf))
    data[bad] = smallest
    return [f"{_share(count, data.size)} NaN or infinite; replaced by {smallest:g}, the smallest finite value"]


def report_non_finite(data: np.ndarray) -> list[str]:
    """Warn about NaN and infinite voxels that stay."""
    if np.isfinite(data.min()) and np.isfinite(data.max()):
        return []
    count = int(data.size - np.count_nonzero(np.isfinite(data)))
    return [f"{_share(count, data.size)} NaN or infinite and kept as in the reference; one NaN empties the result"]


def no_contrast(data: np.ndarray) -> list[str]:
    """Say so if all voxels have one value."""
    low = float(data.min())
    return [f"every voxel is {low:g}: the scan holds no anatomy"] if low == float(data.max()) else []


def check_contrast(data: np.ndarray, path: Path) -> None:
    """Refuse a scan whose voxels all have one value.

    Raises
    ------
    InputError
        If smallest and largest value are equal.
    """
    if no_contrast(data):
        raise InputError(
            path,
            found=f"{float(data.flat[0]):g} in every voxel",
            expected="a scan with anatomy",
            remedy="check that this is the right file and that its conversion went well",
        )


def _share(count: int, size: int) -> str:
    return f"{count} of {size} voxels ({100 * count / size:.2g} %) {'is' if count == 1 else 'are'}"


def _largest_corner_distance(first: np.ndarray, second: np.ndarray, shape: Shape3) -> float:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    difference = (first - second)[:3]
    return float(np.linalg.norm(difference[:, :3] @ corners + difference[:, 3:], axis=0).max())


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    """Return the rotation between two affines of equal handedness in degrees, voxel size set aside."""
    a, b = (affine[:3, :3] / voxel_size(affine) for affine in (first, second))
    return float(np.degrees(np.arccos(np.clip((np.trace(a @ b.T) - 1) / 2, -1, 1))))
