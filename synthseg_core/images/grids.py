"""Grids along the axes of a scan: its own, and isotropic ones that share its centre."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthseg_core.images.affines import (
    Shape3,
    Size3,
    is_sheared,
    isotropic,
    perpendicular_axes,
    triple,
    unit_columns,
    voxel_size,
)

# Far below the turn from sheared axes to perpendicular ones, far above the noise of headers.
_PARALLEL = 1e-3
# Header noise of float32 reaches 1e-7 of a voxel size; a grid may end this much short of the scan's edge, in voxels.
_FACTOR_DECIMALS, _COUNT_SLACK = 6, 1e-3


@dataclass(frozen=True)
class Grid:
    """A grid along the axes of a scan, in the scan's axis order.

    Sample ``k`` of an axis lies at ``(n - 1) / 2 + (k - (m - 1) / 2) * step + shift`` in the ``n`` source voxels, with
    ``m`` samples; without shift both centres coincide. Of a sheared scan that was brought to perpendicular axes this
    holds for the centres only, and the affine says the rest.

    Parameters
    ----------
    shape
        Samples an axis, ``m``.
    affine : (4, 4)
        Sample to world, mm.
    voxel_size
        Edge lengths in mm, as used for volumes.
    step, shift
        In source voxels, by their edges.
    """

    shape: Shape3
    affine: np.ndarray
    voxel_size: Size3
    step: Size3 = (1.0, 1.0, 1.0)
    shift: Size3 = (0.0, 0.0, 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers."""
        return {
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "voxel_size_mm": list(self.voxel_size),
            "step_source_voxels": list(self.step),
            "shift_source_voxels": list(self.shift),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Grid:
        """Undo :meth:`to_json`."""
        return cls(
            shape=triple(content["shape"]),
            affine=np.array(content["affine"], dtype=np.float64),
            voxel_size=triple(content["voxel_size_mm"]),
            step=triple(content["step_source_voxels"]),
            shift=triple(content["shift_source_voxels"]),
        )


def own_grid(shape: Shape3, affine: np.ndarray) -> Grid:
    """Return the grid of the scan itself."""
    return Grid(shape, affine, voxel_size(affine))


def parallel(first: np.ndarray, second: np.ndarray) -> bool:
    """Say whether the axes of two affines run in the same directions."""
    return np.allclose(unit_columns(first)[:3, :3], unit_columns(second)[:3, :3], rtol=0, atol=_PARALLEL)


def centred_grid(shape: Shape3, affine: np.ndarray, voxel_size_mm: float, *, straight: bool = True) -> Grid:
    """Return the isotropic grid that covers a scan and shares its centre.

    Its axes are those of the scan, or where these are sheared, and ``straight``, the nearest perpendicular ones.

    Examples
    --------
    >>> grid = centred_grid((10, 10, 4), np.diag([1.0, 1.0, 2.5, 1.0]), 1.0)
    >>> grid.shape
    (10, 10, 10)
    >>> grid.affine[:3, 3].round(6).tolist()
    [0.0, 0.0, -0.75]
    """
    if straight and is_sheared(affine):
        return _straight_grid(shape, affine, voxel_size_mm)
    factors = np.round(np.array(voxel_size(affine)) / voxel_size_mm, _FACTOR_DECIMALS)
    counts = np.maximum(np.ceil(np.array(shape) * factors - _COUNT_SLACK), 1).astype(int)
    steps = 1 / factors
    first = (np.array(shape) - 1) / 2 - (counts - 1) / 2 * steps
    placed = np.array(affine, dtype=np.float64)
    placed[:3, 3] += placed[:3, :3] @ first
    placed[:3, :3] *= steps
    return Grid(triple(counts.tolist()), placed, isotropic(voxel_size_mm), triple(steps.tolist()))


def _straight_grid(shape: Shape3, affine: np.ndarray, voxel_size_mm: float) -> Grid:
    """Return a grid of perpendicular axes around the slanted box of a sheared scan."""
    axes = perpendicular_axes(affine)
    extents = np.abs(axes.T @ affine[:3, :3]) @ np.array(shape)
    counts = np.maximum(np.ceil(extents / voxel_size_mm - _COUNT_SLACK), 1).astype(int)
    placed = np.eye(4)
    placed[:3, :3] = axes * voxel_size_mm
    centre = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    placed[:3, 3] = centre - placed[:3, :3] @ ((counts - 1) / 2)
    steps = voxel_size_mm / np.array(voxel_size(affine))
    return Grid(triple(counts.tolist()), placed, isotropic(voxel_size_mm), triple(steps.tolist()))
