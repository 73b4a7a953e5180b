"""Worked cases of linear resampling, then its symmetries."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from synthseg_core.images import grids
from synthseg_core.images import resampling as module
from synthseg_core.images.resampling import (
    argmax_classes,
    centred_sampling,
    nearest_on,
    resample,
    resample_axis,
    resample_classes,
    sampling_at,
)
from synthseg_core.images.volume import Volume
from tests.phantoms.scans import oblique_affine, reoriented

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("subject", [module, grids])
def test_examples_in_docstrings(subject):
    results = doctest.testmod(subject)
    assert results.attempted > 0
    assert results.failed == 0


# name: (source, positions, expected)
WORKED = {
    "between": ([10, 20, 40], [0.5, 1.25], [15, 25]),
    "on samples": ([10, 20, 40], [0, 1, 2], [10, 20, 40]),
    "clamped": ([10, 20, 40], [-3, 2.5], [10, 40]),
    "single sample": ([7], [-1, 0, 5], [7, 7, 7]),
}


@pytest.mark.parametrize("name", WORKED)
def test_sampling_by_hand(name):
    source, positions, expected = WORKED[name]
    rule = sampling_at(np.array(positions, float), len(source))
    np.testing.assert_allclose(resample_axis(np.array(source, float), rule, 0), expected)


def test_nan_spreads_to_neighbours_only():
    rule = sampling_at(np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]), 4)
    found = resample_axis(np.array([1.0, np.nan, 3.0, 4.0]), rule, 0)
    np.testing.assert_array_equal(np.isnan(found), [True, True, True, True, False, False, False])


@pytest.mark.parametrize(
    ("count", "step", "source", "expected"),
    [
        (4, 0.5, 2, [-0.25, 0.25, 0.75, 1.25]),
        (3, 1.0, 4, [0.5, 1.5, 2.5]),
        (1, 3.0, 5, [2.0]),
        (2, 2.0, 1, [-1.0, 1.0]),
        (5, 1.0, 5, [0, 1, 2, 3, 4]),
    ],
)
def test_centred_positions_by_hand(count, step, source, expected):
    rule = centred_sampling(count, step, source)
    ramp = np.arange(source, dtype=float)
    np.testing.assert_allclose(resample_axis(ramp, rule, 0), np.clip(expected, 0, source - 1))


def test_shift_moves_the_samples():
    rule = centred_sampling(3, 1.0, 5, shift=0.25)
    np.testing.assert_allclose(resample_axis(np.arange(5.0), rule, 0), [1.25, 2.25, 3.25])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_axes_agree(axis):
    data = RNG.normal(size=(5, 6, 7))
    rule = centred_sampling(9, 0.7, data.shape[axis])
    moved = resample_axis(np.ascontiguousarray(np.moveaxis(data, axis, 0)), rule, 0)
    np.testing.assert_array_equal(resample_axis(data, rule, axis), np.moveaxis(moved, 0, axis))


def test_identity_returns_the_array_itself():
    data = RNG.normal(size=(4, 5, 6))
    assert resample(data, [centred_sampling(n, 1.0, n) for n in data.shape]) is data
    assert not centred_sampling(4, 1.0, 5).is_identity
    assert not centred_sampling(4, 0.5, 4).is_identity


def test_type_is_kept():
    data = RNG.normal(size=(4, 5, 6)).astype(np.float32)
    assert resample(data, [centred_sampling(7, 0.6, n) for n in data.shape]).dtype == np.float32


def test_within_treats_the_outside_as_zero():
    data = RNG.normal(size=9)
    rule = sampling_at(np.linspace(-1, 9, 23), 9)
    masked = np.where((np.arange(9) >= 2) & (np.arange(9) < 6), data, 0)
    np.testing.assert_array_equal(resample_axis(data[2:6].copy(), rule.within(2, 6), 0), resample_axis(masked, rule, 0))


def _posteriors(shape=(4, 7, 8, 9)):
    posteriors = RNG.random(shape).astype(np.float32) ** 4
    posteriors[2, :, :4] = 0
    posteriors[3] = 0
    return posteriors / posteriors.sum(axis=0)


@pytest.mark.parametrize("box", [None, ((1, 2, 0), (6, 8, 5))])
def test_argmax_is_that_of_the_resampled_classes(box):
    rules = [centred_sampling(11, 0.61, 7), centred_sampling(6, 1.3, 8), centred_sampling(9, 1.0, 9)]
    posteriors = _posteriors()
    if box is not None:
        rules = [rule.within(a, b) for rule, a, b in zip(rules, *box, strict=True)]
        posteriors = posteriors[(slice(None), *(slice(a, b) for a, b in zip(*box, strict=True)))]
    classes = np.stack(list(resample_classes(posteriors, rules)))
    np.testing.assert_allclose(classes.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(argmax_classes(posteriors, rules), classes.argmax(axis=0))


def test_samples_that_read_with_no_weight_are_no_readers():
    """Beyond a crop samples are clamped to its first voxel with a weight of 0."""
    rule = centred_sampling(6, 1.0, 6).within(2, 4)
    assert rule.touching(0, 2) == (2, 4)
    assert rule.touching(1, 2) == (3, 4)
    assert rule.touching(2, 3) == (0, 0)


def test_argmax_takes_the_first_of_equals():
    posteriors = np.full((3, 2, 2, 2), 1 / 3, np.float32)
    rules = [centred_sampling(3, 0.5, 2)] * 3
    assert not argmax_classes(posteriors, rules).any()


def test_outside_a_crop_is_background():
    posteriors = np.zeros((2, 2, 2, 2), np.float32)
    posteriors[1] = 1
    rules = [centred_sampling(6, 1.0, 6).within(2, 4)] * 3
    expected = np.zeros((6, 6, 6))
    expected[2:4, 2:4, 2:4] = 1
    np.testing.assert_array_equal(argmax_classes(posteriors, rules), expected)


def test_nearest_voxels_worked_by_hand():
    """Voxels of 2 mm take the middle one of those of 1 mm; what lies beyond is the edge's."""
    fine = Volume(np.array([5, 6, 7, 8], dtype=np.int32).reshape(4, 1, 1), np.eye(4))
    coarse = np.diag([2.0, 1.0, 1.0, 1.0])
    coarse[0, 3] = 0.75
    found = nearest_on(fine, Volume(np.empty((3, 1, 1)), coarse))
    assert found.data.dtype == np.int32
    assert found.data.ravel().tolist() == [6, 8, 8]
    np.testing.assert_array_equal(found.affine, coarse)


def test_nearest_voxels_across_axis_orders():
    """The same map stored in another order of axes comes back as it was."""
    labels = Volume(RNG.integers(0, 9, (5, 6, 7)).astype(np.int32), oblique_affine((1.0, 2.0, 3.0)))
    other = reoriented(labels, (2, 0, 1), (True, False, True))
    np.testing.assert_array_equal(nearest_on(other, labels).data, labels.data)


def test_of_two_voxels_equally_near_it_is_always_the_same_side():
    affine = oblique_affine((1.0, 1.0, 1.0), degrees=31.7)
    numbered = Volume(np.tile(np.arange(40, dtype=np.int32), (6, 6, 1)), affine)
    double = affine @ np.diag([1.0, 1.0, 2.0, 1.0])
    double[:3, 3] += affine[:3, 2] / 2
    found = nearest_on(numbered, Volume(np.empty((6, 6, 20)), double)).data
    assert np.unique(np.diff(found, axis=2)).tolist() == [2]
    assert len(np.unique(found[..., 0])) == 1
