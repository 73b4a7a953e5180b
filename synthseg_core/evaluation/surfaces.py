"""Distances between the surfaces of two objects, in mm.

A boundary voxel is one of the object with at least one of its six neighbours outside; outside of the array is outside
of the object. Distances are those between centres of boundary voxels, found with trees of points in world coordinates,
so that they are exact for anisotropic voxels and for sheared axes too.

References
----------
Percentiles of the pooled distances in both directions, and the mean of the two directed means, as SynthSeg's
evaluation defines them; its cropping, which cuts faces off, is not copied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from synthseg_core.errors import GeometryError


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between two surfaces, mm.

    Parameters
    ----------
    mean_mm
        Mean of the mean distances from each surface to the other.
    percentile_95_mm, percentile_99_mm, maximum_mm
        Of the distances in both directions together; the last one is the Hausdorff distance.
    """

    mean_mm: float
    percentile_95_mm: float
    percentile_99_mm: float
    maximum_mm: float


def surface_distances(first: np.ndarray, second: np.ndarray, axes_mm: np.ndarray) -> SurfaceDistances:
    """Return the distances between the surfaces of two objects, neither of which may be empty.

    Parameters
    ----------
    first, second : (I, J, K) bool
        The objects, on one grid.
    axes_mm : (3, 3)
        Steps between voxels as columns, mm: the upper left part of an affine.

    Raises
    ------
    GeometryError
        If the shapes differ or an object is empty.
    """
    if first.shape != second.shape or not (first.any() and second.any()):
        raise GeometryError(
            "surface distances",
            found=f"arrays {first.shape} and {second.shape}, with {first.sum()} and {second.sum()} voxels",
            expected="two objects on one grid, neither empty",
            remedy="leave out structures that one side lacks",
        )
    ours, theirs = (boundary_points(one, axes_mm) for one in (first, second))
    there = KDTree(theirs).query(ours)[0]
    back = KDTree(ours).query(theirs)[0]
    pooled = np.concatenate([there, back])
    p95, p99 = np.percentile(pooled, [95, 99])
    mean = (there.mean() + back.mean()) / 2
    return SurfaceDistances(float(mean), float(p95), float(p99), float(pooled.max()))


def boundary_points(mask: np.ndarray, axes_mm: np.ndarray) -> np.ndarray:
    """Return the centres of boundary voxels, (N, 3), mm, relative to the first voxel.

    Parameters
    ----------
    mask : (I, J, K) bool
        The object.
    axes_mm : (3, 3)
        Steps between voxels as columns, mm.
    """
    return np.argwhere(boundary(mask)) @ np.asarray(axes_mm, dtype=np.float64).T


def boundary(mask: np.ndarray) -> np.ndarray:
    """Return the voxels of an object (I, J, K) that touch its outside with a face."""
    padded = np.pad(mask, 1)
    inner = padded.copy()
    for axis in range(mask.ndim):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis)
    return mask & ~inner[tuple(slice(1, -1) for _ in mask.shape)]
