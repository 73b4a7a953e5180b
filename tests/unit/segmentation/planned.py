"""Scans for the networks of nnU-Net, and what they see of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from tests.phantoms.scans import nested_ellipsoids, oblique_affine


def scan_of(volume: Volume) -> Scan:
    """A scan as it would be read from a file whose header agrees with its affine."""
    sizes = tuple(float(np.float32(edge)) for edge in volume.voxel_size)
    return Scan(volume, sizes, Path("phantom.nii.gz"))


def bordered(voxel_size=(1.3, 0.9, 1.1), shape=(21, 26, 19), degrees=12.0) -> Volume:
    """A head between zeros, at another distance from each face."""
    data = np.zeros(shape)
    data[2:-1, 3:-2, 1:-4] = np.round(
        nested_ellipsoids(tuple(n - d for n, d in zip(shape, (3, 5, 5), strict=True))) + 5
    )
    return Volume(data, oblique_affine(voxel_size, degrees))
