"""Sums and maxima over channels: the rounding that decides voxels on a threshold."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.segmentation.channels import array_order_sum, most_probable, paired_sum


@pytest.mark.parametrize("count", [1, 4, 7, 8, 9, 31, 32, 33, 69])
def test_array_order_sum_rounds_as_numpy_along_a_contiguous_axis(count):
    values = np.random.default_rng(count).random((11, 13, count), dtype=np.float32) ** 6
    channels = [np.ascontiguousarray(values[..., k]) for k in range(count)]
    np.testing.assert_array_equal(array_order_sum(channels), values.sum(axis=-1))


def test_array_order_sum_leaves_its_input_alone():
    values = np.random.default_rng(0).random((19, 3, 4), dtype=np.float32)
    before = values.copy()
    array_order_sum(list(values))
    np.testing.assert_array_equal(values, before)


def test_array_order_matters():
    """One and many halves of the last bit: added one by one they vanish, in eight lanes they do not."""
    values = np.array([1.0] + [2.0**-24] * 15, dtype=np.float32)[:, None]
    assert np.cumsum(values)[-1] == 1
    assert array_order_sum(list(values)) > 1


def test_paired_sum_is_blind_to_exchanged_sides():
    rng = np.random.default_rng(3)
    values = rng.random((7, 50, 40), dtype=np.float32) ** 5
    partners = [0, 4, 5, 3, 1, 2, 6]
    np.testing.assert_array_equal(paired_sum(list(values), partners), paired_sum(list(values[partners]), partners))
    np.testing.assert_allclose(paired_sum(list(values), partners), values.sum(axis=0), rtol=1e-6)


def test_most_probable_is_argmax():
    values = np.random.default_rng(5).integers(0, 4, (6, 5, 7, 3)).astype(np.float32)
    result = most_probable(values)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, values.argmax(axis=0))


def test_most_probable_of_many_channels():
    values = np.zeros((300, 1, 2, 3), dtype=np.float32)
    values[299, 0, 1, 2] = 1
    assert most_probable(values).max() == 299


def test_most_probable_of_nan_is_background():
    values = np.full((3, 1, 1, 2), np.nan, dtype=np.float32)
    values[:, 0, 0, 1] = [np.nan, 0.2, 0.7]
    np.testing.assert_array_equal(most_probable(values), 0)


def test_any_memory_layout_gives_the_same():
    values = np.random.default_rng(6).random((5, 4, 6, 7), dtype=np.float32)
    np.testing.assert_array_equal(most_probable(np.asfortranarray(values)), most_probable(values))
