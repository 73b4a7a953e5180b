"""Grids along the axes of a scan, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.images.affines import is_sheared
from synthseg_core.images.grids import centred_grid, parallel
from tests.phantoms.scans import tilted_affine


def test_centred_grid_by_hand():
    affine = np.diag([2.0, 0.5, 1.0, 1.0])
    affine[:3, 3] = (-10, 20, 0)
    grid = centred_grid((4, 9, 5), affine, 1.0)
    assert grid.shape == (8, 5, 5)
    np.testing.assert_allclose(grid.affine[:3, :3], np.eye(3))
    # Axis 1: nine samples over 4.5 mm become five over 5 mm around the same centre, 20 + 4 * 0.5 mm.
    np.testing.assert_allclose(grid.affine[:3, 3], [-10.5, 20, 0])


def test_header_noise_adds_no_sample():
    affine = np.diag([1.0000001, 0.9999999, 1.2000000477, 1])
    assert centred_grid((256, 256, 256), affine, 1.0).shape == (256, 256, 308)
    # 50 * 1.1 is 55.00000000000001 in float64.
    assert centred_grid((50, 20, 30), np.diag([1.1, 1.1, 1.1, 1]), 1.0).shape == (55, 22, 33)


@pytest.mark.parametrize("degrees", [5, 20, -30])
def test_grid_of_a_tilted_scan_has_perpendicular_axes_and_covers_it(degrees):
    shape = (19, 23, 17)
    affine = tilted_affine(degrees=degrees, shape=shape)
    grid = centred_grid(shape, affine, 1.0)
    np.testing.assert_allclose(grid.affine[:3, :3].T @ grid.affine[:3, :3], np.eye(3), atol=1e-12)
    assert not parallel(grid.affine, affine)
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape], indexing="ij")).reshape(3, -1)
    world = affine[:3, :3] @ corners + affine[:3, 3:]
    place = np.linalg.inv(grid.affine[:3, :3]) @ (world - grid.affine[:3, 3:])
    assert (place > -0.502).all()
    assert (place < np.array(grid.shape)[:, None] - 0.498).all()
    np.testing.assert_allclose(grid.affine @ [*(np.array(grid.shape) - 1) / 2, 1], [0, 0, 0, 1], atol=1e-9)


def test_grid_of_a_tilted_scan_in_another_order_of_axes():
    shape, axes = (19, 23, 17), [2, 0, 1]
    affine = tilted_affine(shape=shape)
    first = centred_grid(shape, affine, 1.0)
    second = centred_grid(tuple(shape[a] for a in axes), affine[:, [*axes, 3]], 1.0)
    assert second.shape == tuple(first.shape[a] for a in axes)
    np.testing.assert_allclose(second.affine, first.affine[:, [*axes, 3]], atol=1e-9)


def test_axes_as_they_are_on_request():
    grid = centred_grid((19, 23, 17), tilted_affine(), 1.0, straight=False)
    assert is_sheared(grid.affine)
    assert parallel(grid.affine, tilted_affine())
