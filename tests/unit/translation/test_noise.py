"""One field of noise a scan: the same numbers for whoever asks, others for other scans, seeds, samples, steps."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.translation.noise import NoiseField, content_digest

CONTENT = content_digest(np.ones((2, 3, 4), np.float32))
KEY = (1, 0)


def _field(content=CONTENT, seed=0, sample=0):
    return NoiseField(content, seed, sample, (40, 50))


def test_tiles_of_a_slice_share_its_noise():
    whole = _field().tile([5], (0, 0), (40, 40), KEY)
    assert whole.shape == (1, 40, 40)
    assert np.array_equal(_field().tile([5], (3, 7), (20, 20), KEY), whole[:, 3:23, 7:27])


def test_neighbours_get_the_noise_of_their_own_slices():
    stack = _field().tile([4, 5, 5], (0, 0), (8, 8), KEY)
    assert np.array_equal(stack[1], stack[2])
    assert np.array_equal(stack[0], _field().tile([4], (0, 0), (8, 8), KEY)[0])
    assert not np.array_equal(stack[0], stack[1])


@pytest.mark.parametrize(
    "other",
    [
        _field(seed=1).tile([5], (0, 0), (8, 8), KEY),
        _field(sample=1).tile([5], (0, 0), (8, 8), KEY),
        _field(content_digest(np.zeros((2, 3, 4), np.float32))).tile([5], (0, 0), (8, 8), KEY),
        _field().tile([6], (0, 0), (8, 8), KEY),
        _field().tile([5], (0, 0), (8, 8), (2, 0)),
        _field().tile([5], (0, 0), (8, 8), (1, 1)),
    ],
)
def test_everything_that_matters_changes_it(other):
    assert not np.array_equal(other, _field().tile([5], (0, 0), (8, 8), KEY))


def test_numbers_are_standard_normal():
    values = np.concatenate([_field().tile([number], (0, 0), (40, 40), KEY) for number in range(40)])
    assert values.dtype == np.float32
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.std() == pytest.approx(1, abs=0.01)


def test_a_digest_knows_shape_and_values():
    assert content_digest(np.ones((3, 2, 4), np.float32)) != CONTENT
    assert content_digest(np.asfortranarray(np.ones((2, 3, 4), np.float32))) == CONTENT
