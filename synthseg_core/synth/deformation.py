"""Deform label maps: affine and elastic, pulled from the input, nearest neighbour."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from synthseg_core.images.affines import Shape3, Size3
from synthseg_core.synth.fields import (
    axis_positions,
    integrate_velocity,
    interpolate_axis,
    positions_within,
    resize_linear,
)
from synthseg_core.synth.recipe import DeformationSpec


def rotation_matrix(angles_deg: Size3) -> Tensor:
    """Return ``Rx Ry Rz``, right-handed, (3, 3) float64."""
    turns = [_turn(axis, math.radians(angle)) for axis, angle in enumerate(angles_deg)]
    return turns[0] @ turns[1] @ turns[2]


def affine_matrix(
    rotation_deg: Size3, shearing: tuple[float, ...], scaling: Size3, order: str = "scale_shear_rotate"
) -> Tensor:
    """Return ``scaling @ shearing @ rotation``, (3, 3) float64; shearing fills the off-diagonal in row order.

    The order ``rotate_shear_scale`` gives ``rotation @ shearing @ scaling``.
    """
    shear = torch.eye(3, dtype=torch.float64)
    shear[~torch.eye(3, dtype=torch.bool)] = torch.tensor(shearing, dtype=torch.float64)
    scale, rotation = torch.diag(torch.tensor(scaling, dtype=torch.float64)), rotation_matrix(rotation_deg)
    return scale @ shear @ rotation if order == "scale_shear_rotate" else rotation @ shear @ scale


def elastic_displacement(
    shape: Shape3,
    std_voxels: float,
    spec: DeformationSpec,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return a random diffeomorphic displacement on the half-size grid.

    Parameters
    ----------
    shape
        Voxels of the full map; nodes lie every ``1 / spec.elastic_scale`` voxels.
    std_voxels
        Standard deviation of the velocity at the nodes.
    spec
        Strength and scale.
    generator
        On the CPU, so that every device gets the same field.
    device
        Where it is computed.

    Returns
    -------
    (3, I/2, J/2, K/2)
        Voxels. Counted on the half-size grid, but used as voxels of the full one, as in the reference, whose published
        standard deviations have this meaning.
    """
    nodes = [math.ceil(n * spec.elastic_scale) for n in shape]
    half = [max(n // 2, small) for n, small in zip(shape, nodes, strict=True)]
    velocity = torch.randn((3, *nodes), generator=generator).to(device) * std_voxels
    return integrate_velocity(resize_linear(velocity, half, spec.centred_grid))


@dataclass(frozen=True)
class Warp:
    """Where each voxel of a deformed map is taken from: ``q(p) = A (p - c + u(p)) + t + c``, c being the centre.

    Parameters
    ----------
    shape
        Voxels of the map.
    matrix : (3, 3)
        The affine part A.
    translation_voxels
        The shift t.
    displacement : (3, I/2, J/2, K/2)
        The elastic part u on a coarser grid, voxels; ``None``: none.
    centred_grid
        How the coarser grid lies on the full one, see :func:`synthseg_core.synth.fields.resize_positions`.
    """

    shape: Shape3
    matrix: Tensor
    translation_voxels: Size3 = (0.0, 0.0, 0.0)
    displacement: Tensor | None = None
    centred_grid: bool = False

    def coordinates(self, axes: tuple[Tensor, Tensor, Tensor], device: torch.device) -> list[Tensor]:
        """Return the three source coordinates, each (I, J, K) float32, for the voxels at the crossings of ``axes``.

        Voxels are handled one by one, so a part of the map gives the same bits as the whole.
        """
        centre = [(n - 1) / 2 for n in self.shape]
        points = []
        for axis in range(3):
            shape = [1, 1, 1]
            shape[axis] = -1
            position = (axes[axis] - centre[axis]).to(device=device, dtype=torch.float32).reshape(shape)
            points.append(position if self.displacement is None else position + self._elastic(axis, axes, device))
        rows = self.matrix.tolist()
        shift = [t + c for t, c in zip(self.translation_voxels, centre, strict=True)]
        return [
            points[0] * rows[axis][0] + points[1] * rows[axis][1] + points[2] * rows[axis][2] + shift[axis]
            for axis in range(3)
        ]

    def pull(self, label_map: Tensor, axes: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the deformed map at the crossings of ``axes``: nearest voxel, edges repeated."""
        flat = torch.zeros((), dtype=torch.int32, device=label_map.device)
        for coordinate, n in zip(self.coordinates(axes, label_map.device), self.shape, strict=True):
            flat = flat * n + coordinate.round_().clamp_(0, n - 1).to(torch.int32)
        return label_map.reshape(-1)[flat]

    def _elastic(self, axis: int, axes: tuple[Tensor, Tensor, Tensor], device: torch.device) -> Tensor:
        assert self.displacement is not None
        field = self.displacement[axis].to(device)
        for dim, positions in enumerate(axes):
            scaled = positions_within(positions, field.shape[dim], self.shape[dim], self.centred_grid)
            field = interpolate_axis(field, dim, scaled)
        return field


def whole(shape: Shape3, step: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Return the axes of a whole map, or of every ``step``-th voxel of it."""
    x, y, z = (axis_positions(n, step=step) for n in shape)
    return x, y, z


def window(corner: Shape3, shape: Shape3) -> tuple[Tensor, Tensor, Tensor]:
    """Return the axes of a crop."""
    x, y, z = (axis_positions(0, start, start + n) for start, n in zip(corner, shape, strict=True))
    return x, y, z


def _turn(axis: int, angle: float) -> Tensor:
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return matrix
