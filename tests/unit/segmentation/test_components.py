"""Largest connected component: cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.segmentation.components import bounding_box, largest_component


def _mask(*voxels, shape=(5, 4, 7)):
    mask = np.zeros(shape, dtype=bool)
    for voxel in voxels:
        mask[voxel] = True
    return mask


def test_bounding_box():
    assert bounding_box(_mask((1, 2, 3), (4, 0, 3))) == (slice(1, 5), slice(0, 3), slice(3, 4))


def test_bounding_box_of_nothing():
    assert bounding_box(_mask()) is None


def test_larger_one_wins_wherever_it_is():
    mask = _mask((0, 0, 0), (3, 2, 5), (3, 2, 6))
    np.testing.assert_array_equal(largest_component(mask), _mask((3, 2, 5), (3, 2, 6)))


def test_edges_and_corners_do_not_connect():
    mask = _mask((0, 0, 0), (1, 1, 0), (2, 2, 1), (2, 2, 2))
    np.testing.assert_array_equal(largest_component(mask), _mask((2, 2, 1), (2, 2, 2)))


def test_nothing_stays_nothing():
    assert not largest_component(_mask()).any()


def test_input_is_not_changed_and_not_returned():
    mask = _mask((1, 1, 1))
    result = largest_component(mask)
    result[:] = True
    np.testing.assert_array_equal(mask, _mask((1, 1, 1)))


def test_ties_go_to_the_first_in_array_order():
    mask = _mask((0, 3, 6), (4, 0, 0))
    np.testing.assert_array_equal(largest_component(mask), _mask((0, 3, 6)))


@pytest.mark.parametrize("flip", [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_ties_go_to_the_one_nearest_the_middle(flip):
    mask = _mask((0, 3, 6), (2, 1, 4), (4, 0, 0))
    result = largest_component(np.flip(mask, flip), centre=(2.0, 1.5, 3.0))
    np.testing.assert_array_equal(np.flip(result, flip), _mask((2, 1, 4)))


def test_ties_that_are_equally_near_go_to_the_first():
    mask = _mask((1, 1, 3), (3, 2, 3))
    np.testing.assert_array_equal(largest_component(mask, centre=(2.0, 1.5, 3.0)), _mask((1, 1, 3)))


def test_nearness_does_not_beat_size():
    mask = _mask((2, 1, 3), (0, 0, 0), (0, 0, 1))
    np.testing.assert_array_equal(largest_component(mask, centre=(2.0, 1.5, 3.0)), _mask((0, 0, 0), (0, 0, 1)))
