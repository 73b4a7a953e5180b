"""Small synthetic scans with unequal axes and oblique affines; cubes with identity affines hide bugs."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from synthseg_core.images.volume import Volume

SHAPE = (19, 23, 17)


def oblique_affine(voxel_size=(1.0, 1.0, 1.0), degrees=12.0, origin=(-7.0, 11.0, 4.5)) -> np.ndarray:
    """Affine rotated about two axes, so that no entry of the 3x3 part is zero by accident."""
    a = np.deg2rad(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(a / 2), -np.sin(a / 2), 0], [np.sin(a / 2), np.cos(a / 2), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(voxel_size)
    affine[:3, 3] = origin
    return affine


def nested_ellipsoids(shape=SHAPE, seed=0) -> np.ndarray:
    """Head-like image: skull, brain, a left-sided bright blob, noise. Left and right differ. (I, J, K) float64."""
    rng = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, n) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt((x / 0.9) ** 2 + (y / 0.95) ** 2 + (z / 0.9) ** 2)
    image = np.where(radius < 1, 60.0, 0.0)
    image[radius < 0.8] = 110.0
    image[radius < 0.5] = 160.0
    blob = (x + 0.35) ** 2 + (y - 0.1) ** 2 + z**2 < 0.05
    image[blob] = 30.0
    return image + rng.normal(0, 2.0, shape)


def phantom(voxel_size=(1.0, 1.0, 1.0), shape=SHAPE, degrees=12.0, seed=0) -> Volume:
    """Phantom scan on an oblique grid, close to RAS."""
    return Volume(nested_ellipsoids(shape, seed), oblique_affine(voxel_size, degrees))


def reoriented(volume: Volume, axes, flips) -> Volume:
    """The same scan stored with permuted and reversed voxel axes; the world picture does not change."""
    data = volume.data.transpose(axes)[tuple(slice(None, None, -1 if f else None) for f in flips)]
    affine = volume.affine.copy()
    affine[:3, :3] = affine[:3, list(axes)]
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (data.shape[axis] - 1)
            affine[:3, axis] *= -1
    return Volume(data, affine)


def all_orientations():
    """The 48 axis orders: permutation and reversals."""
    return list(itertools.product(itertools.permutations(range(3)), itertools.product((False, True), repeat=3)))


def tilted_affine(voxel_size=(1.0, 1.0, 2.5), degrees=20.0, shape=SHAPE) -> np.ndarray:
    """Axes of a tilted gantry: the slices are shifted against each other; the centre is at the origin."""
    angle = np.deg2rad(degrees)
    affine = oblique_affine(voxel_size, degrees=7.0)
    shear = np.eye(3)
    shear[1:, 2] = np.sin(angle), np.cos(angle)
    affine[:3, :3] = affine[:3, :3] @ np.diag(1 / np.array(voxel_size)) @ shear @ np.diag(voxel_size)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def world_head(affine: np.ndarray, shape) -> np.ndarray:
    """One head in the world, sampled on any grid: an ellipsoid at the origin with a smooth edge, 0 to 100.

    Half axes of 14, 17 and 12 mm; half of the edge is where it ends.
    """
    voxels = np.indices(shape).reshape(3, -1)
    x, y, z = affine[:3, :3] @ voxels + affine[:3, 3:]
    radius = np.sqrt((x / 14) ** 2 + (y / 17) ** 2 + (z / 12) ** 2)
    return (100 / (1 + np.exp((radius - 1) * 20))).reshape(shape)


HEAD_MM3 = 4 / 3 * np.pi * 14 * 17 * 12


def write_nifti(path: Path, volume: Volume, dtype="float32") -> Path:
    """Write a phantom with nibabel, as a scanner's converter would."""
    import nibabel as nib

    image = nib.Nifti1Image(volume.data.astype(dtype), volume.affine)
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path
