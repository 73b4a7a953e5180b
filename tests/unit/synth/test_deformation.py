"""Deformation of label maps: affine, velocity field, crop; rows G6-G8 and G14 of the acceptance table."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from synthseg_core.synth.deformation import Warp, affine_matrix, elastic_displacement, rotation_matrix, whole, window
from synthseg_core.synth.fields import resize_linear
from synthseg_core.synth.recipe import DeformationSpec

OFFICIAL, HALVED = DeformationSpec(), DeformationSpec(elastic_scale=0.08)


def linear_resize(values, n_out: int, **options) -> list[float]:
    x = torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1)
    return resize_linear(x, (n_out, 1, 1), **options).flatten().tolist()


def test_g14_ramps():
    """G14: positions i * n_in / n_out, clamped; exact in binary."""
    assert linear_resize([0, 1, 2, 3], 8) == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]
    assert linear_resize([0, 1, 2], 8) == [0, 0.375, 0.75, 1.125, 1.5, 1.875, 2, 2]
    assert linear_resize([5], 3) == [5, 5, 5]
    assert linear_resize([0, 1, 2, 3], 2) == [0, 2]


def test_centred_grids_are_symmetric():
    assert linear_resize([0, 1, 2, 3], 8, centred=True) == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


def field(seed: int, std: float, n: int, spec: DeformationSpec) -> Tensor:
    return elastic_displacement((n, n, n), std, spec, torch.Generator().manual_seed(seed))


def determinants(displacement: Tensor) -> Tensor:
    """Jacobian of x + u(x) on the full-size grid, of which ``displacement`` is every second voxel."""
    n = displacement.shape[-1] - 1
    slopes = torch.stack([displacement.diff(dim=axis)[:, :n, :n, :n] for axis in (1, 2, 3)], dim=-1)
    jacobian = slopes.permute(1, 2, 3, 0, 4) / 2
    return torch.linalg.det(jacobian + torch.eye(3))


@pytest.mark.parametrize("seed", range(16))
def test_g7_magnitude_on_half_the_grid(seed):
    """G7: the official field in voxels of 2 mm, where nodes are as far apart in mm."""
    std = 0.5 + seed / 10
    moved = field(seed, std, 128, HALVED)
    assert moved.shape == (3, 64, 64, 64)
    assert 0.52 <= float(moved.square().mean().sqrt()) / std <= 0.62


def test_g7_strongest_field_does_not_fold():
    """G7, one draw: length, its percentiles, and Jacobian of the field with standard deviation 4."""
    moved = field(1, 4.0, 256, OFFICIAL)
    assert moved.shape == (3, 128, 128, 128)
    lengths = moved.square().sum(0).sqrt().flatten()
    assert 0.52 <= float(moved.square().mean().sqrt()) / 4 <= 0.62
    assert 3.3 <= float(lengths.mean()) <= 3.9
    assert 7.6 <= float(lengths[::7].quantile(0.99)) <= 9.0
    assert float(lengths.max()) < 15
    volumes = determinants(moved)
    assert float(volumes.min()) > 0.25
    assert float(volumes.max()) < 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16))
def test_g7_magnitude(seed):
    """G7: 16 draws at full size."""
    std = 0.25 * (seed + 1)
    moved = field(seed, std, 256, OFFICIAL)
    assert 0.52 <= float(moved.square().mean().sqrt()) / std <= 0.62
    assert float(determinants(moved).min()) > 0


def test_velocity_fields_end_constant():
    """Corner-based resizing repeats the last node; the displacement at the end of an axis has no slope."""
    moved = field(0, 3.0, 100, OFFICIAL)
    assert (moved[:, -6:].diff(dim=1).abs().max()) < 0.15 * moved.diff(dim=1).abs().max()


def test_rotations_are_right_handed():
    x, y, z = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(rotation_matrix((90, 0, 0)) @ y, z)
    torch.testing.assert_close(rotation_matrix((0, 90, 0)) @ z, x)
    torch.testing.assert_close(rotation_matrix((0, 0, 90)) @ x, y)
    both = rotation_matrix((90, 0, 0)) @ rotation_matrix((0, 0, 90))
    torch.testing.assert_close(rotation_matrix((90, 0, 90)), both)


def test_affine_is_scaling_shearing_rotation():
    shears = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    matrix = affine_matrix((0, 0, 0), shears, (1, 2, 4))
    assert matrix.tolist() == [[1, 0.1, 0.2], [0.6, 2, 0.8], [2, 2.4, 4]]
    turned = affine_matrix((0, 0, 90), shears, (1, 2, 4))
    torch.testing.assert_close(turned, matrix @ rotation_matrix((0, 0, 90)))
    other = affine_matrix((0, 0, 90), shears, (1, 2, 4), "rotate_shear_scale")
    torch.testing.assert_close(other[:, 0], rotation_matrix((0, 0, 90)) @ torch.tensor([1, 0.3, 0.5]).double())


def test_coordinates_follow_the_formula():
    """q(p) = A (p - c + u(p)) + t + c, voxel by voxel, in double precision."""
    shape = (9, 12, 7)
    displacement = torch.randn(3, 4, 6, 3, generator=torch.Generator().manual_seed(0))
    matrix = affine_matrix((5, -9, 12), (0.01, 0, -0.01, 0.005, 0, 0.01), (1.1, 0.9, 1.05))
    found = Warp(shape, matrix, (1.0, -2.0, 0.5), displacement).coordinates(whole(shape), torch.device("cpu"))
    centre = (np.array(shape) - 1) / 2
    full = resize_linear(displacement.double(), shape).numpy()
    for p in [(0, 0, 0), (8, 11, 6), (3, 7, 2), (5, 1, 4)]:
        expected = matrix.numpy() @ (np.array(p) - centre + full[(slice(None), *p)]) + [1.0, -2.0, 0.5] + centre
        np.testing.assert_allclose([float(axis[p]) for axis in found], expected, atol=1e-5)


def test_a_scaling_above_one_makes_the_head_smaller():
    label_map = torch.zeros(21, 21, 21, dtype=torch.uint8)
    label_map[5:16, 5:16, 5:16] = 1
    warp = Warp((21, 21, 21), affine_matrix((0, 0, 0), (0,) * 6, (1.2, 1.2, 1.2)))
    assert 0 < int(warp.pull(label_map, whole((21, 21, 21))).sum()) < int(label_map.sum())


def test_g6_nothing_moves_when_everything_is_off():
    """G6: identity when all bounds are off."""
    label_map = torch.randint(0, 9, (13, 10, 15), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    warp = Warp((13, 10, 15), affine_matrix((0, 0, 0), (0,) * 6, (1, 1, 1)))
    assert torch.equal(warp.matrix, torch.eye(3, dtype=torch.float64))
    assert torch.equal(warp.pull(label_map, whole((13, 10, 15))), label_map)


def test_edges_are_repeated():
    label_map = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1)
    warp = Warp((5, 1, 1), torch.eye(3, dtype=torch.float64), (3.0, 0.0, 0.0))
    assert warp.pull(label_map, whole((5, 1, 1))).flatten().tolist() == [3, 4, 4, 4, 4]


@pytest.mark.parametrize("corner", [(0, 0, 0), (11, 3, 20), (29, 37, 32)])
def test_g8_part_of_a_warp_equals_the_whole(corner):
    """G8: a warp of the crop alone gives the bits of a whole warp, cropped."""
    shape, crop = (70, 84, 76), (40, 46, 43)
    generator = torch.Generator().manual_seed(2)
    label_map = torch.randint(0, 54, shape, dtype=torch.uint8, generator=generator)
    matrix = affine_matrix((10, -14, 3), (0.01, -0.01, 0.012, 0, 0.005, -0.008), (0.85, 1.1, 1.19))
    warp = Warp(shape, matrix, (0.3, 0.0, -2.0), elastic_displacement(shape, 3.0, OFFICIAL, generator))
    place = tuple(slice(start, start + n) for start, n in zip(corner, crop, strict=True))
    assert torch.equal(warp.pull(label_map, window(corner, crop)), warp.pull(label_map, whole(shape))[place])
    parts, full = (warp.coordinates(axes, torch.device("cpu")) for axes in (window(corner, crop), whole(shape)))
    assert all(torch.equal(part, one[place]) for part, one in zip(parts, full, strict=True))
