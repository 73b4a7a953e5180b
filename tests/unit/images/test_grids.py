"""Grids along the axes of a scan, by hand."""

from __future__ import annotations

import numpy as np

from synthseg_core.images.grids import centred_grid


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
