"""A scan or map in memory: an array with the affine that places it in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthseg_core.images import affines


@dataclass(frozen=True)
class Volume:
    """Voxel array and its placement.

    Parameters
    ----------
    data : (I, J, K) or (I, J, K, C)
        Voxel values; a fourth axis holds channels such as posteriors.
    affine : (4, 4)
        Voxel centre to world, mm, RAS+.
    """

    data: np.ndarray
    affine: np.ndarray

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Spatial shape in voxels."""
        i, j, k = self.data.shape[:3]
        return i, j, k

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Edge lengths in mm, from the affine."""
        return affines.voxel_size(self.affine)
