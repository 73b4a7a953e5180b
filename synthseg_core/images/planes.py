"""Cut volumes along the planes that radiologists look at, in radiological convention. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthseg_core.images.affines import closest_ras, unit_columns
from synthseg_core.images.volume import Volume


@dataclass(frozen=True)
class Plane:
    """A plane as it is drawn.

    Parameters
    ----------
    axis
        World axis that it is perpendicular to.
    across, up
        World axes that run along the picture.
    letters
        Sides of the head at the left, right, bottom and top of the picture.
    """

    name: str
    axis: int
    across: int
    up: int
    letters: str


# Radiological convention: seen from the feet, from the front, from the left; what is right, or front, is on the left.
PLANES = (
    Plane("axial", axis=2, across=0, up=1, letters="RLPA"),
    Plane("coronal", axis=1, across=0, up=2, letters="RLIS"),
    Plane("sagittal", axis=0, across=1, up=2, letters="APIS"),
)


@dataclass(frozen=True)
class Cut:
    """One slice of a volume.

    Parameters
    ----------
    pixels : (rows, columns)
        From the bottom of the picture to the top, from its left to its right.
    extent
        Coordinates of the left, right, bottom and top edges, mm; those on the left are the larger ones.
    """

    pixels: np.ndarray
    extent: tuple[float, float, float, float]

    @property
    def corners_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of the lines between pixels: across, one more than columns, and up, one more than rows."""
        left, right, bottom, top = self.extent
        rows, columns = self.pixels.shape
        return np.linspace(left, right, columns + 1), np.linspace(bottom, top, rows + 1)


def cut(volume: Volume, plane: Plane, point_mm: tuple[float, float, float]) -> Cut:
    """Cut a volume along the plane of its own voxels that comes closest to a plane of the world.

    Parameters
    ----------
    volume
        (I, J, K) voxels of any orientation; oblique ones are drawn as if they were not.
    plane
        Axial, coronal or sagittal.
    point_mm
        World position that the slice passes through; the outermost slice where that is outside.
    """
    turn = closest_ras(unit_columns(volume.affine))
    data, affine = turn.to_ras(volume.data), turn.affine_to_ras(volume.affine, volume.shape)
    position = (np.linalg.inv(affine) @ [*point_mm, 1])[plane.axis]
    index = int(np.clip(np.rint(position), 0, data.shape[plane.axis] - 1))
    pixels = np.take(data, index, axis=plane.axis).T[:, ::-1]
    right, left = _edges(affine, data.shape, plane.across)
    return Cut(pixels, (left, right, *_edges(affine, data.shape, plane.up)))


def outlines(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the pixel edges between different labels.

    Returns
    -------
    edges : (N, 2, 2)
        Ends of each edge as indices of corners, (column, row).
    labels : (N,)
        The larger of the two labels that meet there.
    """
    upright = _edges_along(pixels, step=(1, 0))
    level = _edges_along(pixels.T, step=(0, 1))
    return np.concatenate([upright[0], level[0]]), np.concatenate([upright[1], level[1]])


def _edges_along(pixels: np.ndarray, step: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges between neighbours along the second axis; ``step`` (1, 0) if that axis runs across."""
    first, second = pixels[:, :-1], pixels[:, 1:]
    row, column = np.nonzero(first != second)
    labels = np.maximum(first, second)[row, column]
    ends = np.stack([np.stack([column + 1, row], -1), np.stack([column + 1, row + 1], -1)], axis=1)
    return (ends if step == (1, 0) else ends[..., ::-1]), labels


def _edges(affine: np.ndarray, shape: tuple[int, ...], axis: int) -> tuple[float, float]:
    """Return the world coordinates of both ends of a volume along an axis, outer faces of voxels, mm."""
    size = float(np.linalg.norm(affine[:3, axis]))
    first = float(affine[axis, 3]) - size / 2
    return first, first + size * shape[axis]
