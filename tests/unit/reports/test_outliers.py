import numpy as np
import pytest

from synthseg_core.reports.outliers import LEAST_SCANS, adjusted, robust_z, spread, z_by_kind


def test_robust_z_of_normal_numbers_is_their_z_and_does_not_mind_one_that_is_wild():
    rng = np.random.default_rng(0)
    values = 5 + 2 * rng.standard_normal(4000)
    np.testing.assert_allclose(robust_z(values), (values - 5) / 2, atol=0.35)
    wild = np.append(values, 1e6)
    np.testing.assert_allclose(robust_z(wild)[:-1], robust_z(values), atol=0.01)
    assert robust_z(wild)[-1] > 1e5


def test_few_numbers_have_no_outlier_and_numbers_that_are_alike_none_either():
    assert np.isnan(robust_z(np.arange(LEAST_SCANS - 1.0))).all()
    assert np.abs(robust_z(np.array([1.0] * 20 + [1.001]))).max() < 0.1


def test_what_is_absent_has_no_z_and_counts_for_nobody():
    values = np.append(np.linspace(0, 1, 11), np.nan)
    z = robust_z(values)
    assert np.isnan(z[-1])
    np.testing.assert_allclose(z[:-1], robust_z(values[:-1]))


def test_volumes_are_shares_of_the_intracranial_volume():
    volumes, icv = np.array([2.0, 4.0, 0.0]), np.array([100.0, 200.0, 300.0])
    share = adjusted(volumes, icv)
    assert share[0] == pytest.approx(share[1]) == pytest.approx(np.log(0.02))
    assert np.isnan(share[2])
    np.testing.assert_allclose(adjusted(volumes, None)[:2], np.log(volumes[:2]))


def test_scans_are_compared_with_those_of_their_kind():
    values = np.concatenate([np.linspace(0, 1, 9), np.linspace(100, 101, 9)])
    assert np.abs(z_by_kind(values, ["a"] * 9 + ["b"] * 9)).max() < 2
    assert np.isnan(z_by_kind(values, ["a"] * 9 + ["b"] * 8 + ["c"])[-1])


def test_spread():
    found = spread(np.array([np.nan, *range(101)]))
    assert (found.number, found.low, found.lower, found.middle, found.upper, found.high) == (101, 2.5, 25, 50, 75, 97.5)
    assert spread(np.array([np.nan])) is None
