"""Splines on pixel-centre grids: known values, the separate coarse axis, and what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import zoom

from synthseg_core.errors import ModelError
from synthseg_core.images.spline import SplineRule, coarse_axis

ONE = (1.0, 1.0, 1.0)


def _ramp(shape) -> np.ndarray:
    return np.add.outer(
        np.add.outer(np.arange(shape[0]) * 3.0, np.arange(shape[1]) ** 2.0), np.sin(np.arange(shape[2]))
    )


def test_same_size_is_the_same_array():
    data = _ramp((4, 5, 6)).astype(np.float32)
    assert SplineRule().resize(data, (4, 5, 6), ONE, (2.0, 1.0, 1.0)) is data


def test_linear_values_by_hand():
    """Four voxels for two of the same length: centres at -0.25, 0.25, 0.75, 1.25, the ends repeated."""
    data = np.array([10.0, 20.0]).reshape(2, 1, 1)
    found = SplineRule(order=1).resize(data, (4, 1, 1), ONE, (0.5, 1.0, 1.0))
    np.testing.assert_allclose(found.ravel(), [10.0, 12.5, 17.5, 20.0])


@pytest.mark.parametrize("shape", [(9, 4, 11), (3, 9, 5), (7, 6, 13)])
def test_linear_is_the_spline_of_order_one(shape):
    data = _ramp((5, 6, 7))
    factors = [new / old for new, old in zip(shape, data.shape, strict=True)]
    expected = zoom(data, factors, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(SplineRule(order=1).resize(data, shape, ONE, ONE), expected, atol=1e-12)


def test_cubic_stays_within_the_range():
    """A step overshoots by a tenth without the cut."""
    data = np.zeros((8, 6, 5), np.float32)
    data[4:] = 1
    found = SplineRule().resize(data, (13, 6, 7), ONE, ONE)
    assert found.dtype == np.float32
    assert (found.min(), found.max()) == (0, 1)
    assert zoom(data, (13 / 8, 1, 7 / 5), order=3, mode="nearest", grid_mode=True).max() > 1.03


def test_a_coarse_axis_is_not_interpolated():
    """Slices are repeated; an exact half takes the upper one; in-plane the range of each slice is kept."""
    data = np.zeros((4, 3, 5))
    data[:, 0], data[:, 1], data[:, 2] = 1.0, 5.0, 9.0
    found = SplineRule().resize(data, (6, 2, 5), (1.0, 4.0, 1.0), ONE)
    np.testing.assert_allclose(found[:, 0], 1.0)  # 0.25
    np.testing.assert_allclose(found[:, 1], 9.0)  # 1.75
    doubled = SplineRule().resize(data[:, :2], (4, 1, 5), (1.0, 4.0, 1.0), ONE)
    np.testing.assert_allclose(doubled, 5.0)  # 0.5


def test_a_coarse_axis_may_be_interpolated_too():
    data = np.arange(4.0).reshape(1, 4, 1) + np.zeros((3, 4, 3))
    found = SplineRule(coarse_order=1).resize(data, (3, 8, 3), (1.0, 4.0, 1.0), ONE)
    np.testing.assert_allclose(found[1, :, 1], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0], atol=1e-12)


@pytest.mark.parametrize(
    ("spacing", "wanted", "separate", "axis"),
    [
        ((0.8, 5.0, 0.8), ONE, "auto", 1),
        (ONE, (0.8, 0.8, 5.0), "auto", 2),  # the way back follows the scan
        ((3.0, 1.0, 1.0), ONE, "auto", None),  # more than three times, not three
        ((3.1, 1.0, 3.1), ONE, "auto", None),  # two coarse axes are none
        ((0.8, 5.0, 0.8), ONE, "never", None),
        ((1.0, 1.5, 1.0), ONE, "always", 1),
        (ONE, (1.0, 1.5, 1.0), "always", None),
    ],
)
def test_which_axis_is_coarse(spacing, wanted, separate, axis):
    assert coarse_axis(spacing, wanted, separate) == axis


def test_rules_that_nobody_knows():
    with pytest.raises(ModelError, match="separate: found 'sometimes'"):
        SplineRule(separate="sometimes")
    with pytest.raises(ModelError, match="order: "):
        SplineRule(order=6)
