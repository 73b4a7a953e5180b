"""Grids of a sample: the label map, the crop taken from it, and the output."""

from __future__ import annotations

from dataclasses import dataclass

from synthseg_core.errors import UsageError
from synthseg_core.images.affines import Shape3, triple

_SAME = 1e-6  # edge lengths of affines in single precision are this close to the round numbers that they stand for


@dataclass(frozen=True)
class SampleShape:
    """Voxels of map, crop and output; the last two differ when another voxel size is asked for.

    Parameters
    ----------
    map, crop
        In voxels of the label maps.
    output
        In voxels of the target.
    voxel_size
        Of the label maps, mm.
    """

    map: Shape3
    crop: Shape3
    output: Shape3
    voxel_size: tuple[float, float, float]


def sample_shape(
    map_shape: Shape3,
    voxel_size: tuple[float, float, float],
    crop: Shape3 | None,
    multiple: int | None,
    target_voxel_size_mm: float | None,
) -> SampleShape:
    """Work out the grids as the reference does.

    Parameters
    ----------
    map_shape
        Of the label maps, voxels.
    voxel_size
        Of the label maps, mm.
    crop
        Wanted output shape, voxels of the target; ``None``: everything.
    multiple
        The output is lowered to a multiple of this.
    target_voxel_size_mm
        ``None``: that of the maps.

    Raises
    ------
    UsageError
        If nothing is left.
    """
    factors = [1.0 if target_voxel_size_mm is None else size / target_voxel_size_mm for size in voxel_size]
    available = [int(n * factor * (1 + _SAME)) for n, factor in zip(map_shape, factors, strict=True)]
    wanted = available if crop is None else [min(a, b) for a, b in zip(available, crop, strict=True)]
    output = [n // (multiple or 1) * (multiple or 1) for n in wanted]
    if min(output) == 0:
        raise UsageError(
            "crop",
            found=f"{' x '.join(map(str, wanted))} voxels",
            expected=f"at least {multiple or 1} along every axis",
            remedy="use larger maps or crops, or a lower crop.multiple",
        )
    whole = crop is None and multiple is None
    size = map_shape if whole else [min(round(n / f), m) for n, f, m in zip(output, factors, map_shape, strict=True)]
    return SampleShape(map_shape, triple(size), triple(output), voxel_size)
