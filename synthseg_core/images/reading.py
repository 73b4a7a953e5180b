"""Read scans and label maps (NIfTI, MGH, NPZ), and say what is doubtful about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core.errors import InputError
from synthseg_core.images import checks
from synthseg_core.images.affines import Shape3, Size3, check_affine, voxel_size
from synthseg_core.images.intensities import replace_padding
from synthseg_core.images.opening import Opened, open_image, read_voxels
from synthseg_core.images.volume import Volume
from synthseg_core.images.volume_choice import Choice, choose_like_reference, choose_volume
from synthseg_core.quirks import NATIVE, Quirks
from synthseg_core.system import memory
from synthseg_core.system.timing import current


@dataclass(frozen=True)
class Scan:
    """One three-dimensional scan as read from a file.

    Parameters
    ----------
    volume
        Voxels (I, J, K) as float64, scaled, and the affine.
    header_voxel_size
        Edge lengths in mm that the header states beside its affine.
    source
        The file.
    header
        nibabel header, opaque to the rest of the package, copied when results are written; ``None`` for ``.npz``.
    warnings
        What is doubtful about the file, one line each.
    """

    volume: Volume
    header_voxel_size: Size3
    source: Path
    header: Any = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placement:
    """Shape and placement of a volume as its header states them.

    Parameters
    ----------
    shape
        Voxels along the file's own axes.
    affine : (4, 4)
        Voxel centre to world, mm, RAS+.
    """

    shape: Shape3
    affine: np.ndarray


def read_scan(
    path: Path | str, *, volume: int | None = None, quirks: Quirks = NATIVE, memory_bytes: int | None = None
) -> Scan:
    """Read one scan and check it.

    Parameters
    ----------
    path
        NIfTI, MGZ or NPZ.
    volume
        Which volume of a 4-D file, counted from 0; ``None``: the first, with a warning when there are several.
    quirks
        What to copy from the reference implementation.
    memory_bytes
        Budget for the voxels; ``None``: the machine's memory.

    Raises
    ------
    InputError
        If the file cannot be read or holds no usable scan; a :class:`GeometryError` if its placement is unusable.
    """
    path = Path(path)
    opened = open_image(path)
    choose = choose_like_reference if quirks.last_axis_channels else choose_volume
    choice = choose(tuple(opened.array.shape), volume, path)
    needed = 8 * choice.voxels + opened.read_as_whole
    memory.require(needed, path, f"{' x '.join(map(str, choice.shape))} voxels", memory_bytes)
    warnings = [*opened.warnings, *choice.warnings, *_check_geometry(opened, choice, quirks)]
    with current().phase("read"):
        data, notes = read_voxels(opened, choice.index)
    warnings += [*notes, *_check_values(data, opened, quirks)]
    return Scan(Volume(data, opened.affine), opened.header_voxel_size, path, opened.header, tuple(warnings))


def read_placement(path: Path | str) -> Placement:
    """Read shape and affine of a volume from its header alone, for checks that come before the voxels are read.

    Raises
    ------
    InputError
        If the file cannot be read or holds no single 3-D volume; a :class:`GeometryError` if its placement is unusable.
    """
    opened, choice = _open_single(Path(path))
    return Placement(choice.shape, opened.affine)


def count_volumes(path: Path | str) -> int:
    """Return how many three-dimensional volumes a file holds, from its header; ``InputError`` if it is no scan."""
    path = Path(path)
    stored = tuple(open_image(path).array.shape)
    choose_volume(stored, None, path)
    return math.prod(stored[3:])


def read_stored(path: Path | str) -> Volume:
    """Read a volume in the number type of its file: for label maps, where a scan's checks of contrast do not apply.

    Raises
    ------
    InputError
        As :func:`read_placement`, or if the voxels are damaged.
    """
    path = Path(path)
    opened, choice = _open_single(path)
    memory.require(8 * choice.voxels, path, f"{' x '.join(map(str, choice.shape))} voxels")
    with current().phase("read"):
        return Volume(read_voxels(opened, choice.index, dtype=None)[0], opened.affine)


def _open_single(path: Path) -> tuple[Opened, Choice]:
    """Open a file that must hold exactly one 3-D volume at a usable place."""
    opened = open_image(path)
    choice = choose_volume(tuple(opened.array.shape), None, path)
    if choice.warnings:
        raise InputError(
            path,
            found=f"an image of shape {' x '.join(map(str, opened.array.shape))}",
            expected="one 3-D volume",
            remedy="extract the volume that is meant",
        )
    check_affine(opened.affine, path)
    return opened, choice


def _check_geometry(opened: Opened, choice: Choice, quirks: Quirks) -> list[str]:
    check_affine(opened.affine, opened.path)
    sizes_mm = voxel_size(opened.affine)
    warnings = checks.size_conflict(opened.header_voxel_size, sizes_mm)
    if warnings:
        warnings = [f"{warnings[0]}; the {'header decides' if quirks.header_decides_resampling else 'affine is used'}"]
    if not quirks.accept_featureless:
        checks.check_voxel_size(sizes_mm, opened.path)
    return warnings + checks.shear(opened.affine, ignored=quirks.ignore_shear) + checks.coverage(choice.shape, sizes_mm)


def _check_values(data: np.ndarray, opened: Opened, quirks: Quirks) -> list[str]:
    if quirks.propagate_nan:
        return checks.report_non_finite(data) + checks.no_contrast(data)
    warnings = checks.replace_non_finite(data, opened.path) + replace_padding(data, opened.impossible)
    checks.check_contrast(data, opened.path)
    return warnings
