"""Statistics: the project's numeric examples, corrections by hand, and what has no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synthseg_core.evaluation.statistics import effect_size, holm, paired_tests, summarise

# Two structures of six subjects, and their mean: differences between two models.
_FIRST = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
_SECOND = np.array([-0.01, 0.02, -0.03, 0.04, -0.05, 0.06])
DIFFERENCES = {"one": _FIRST, "two": _SECOND, "mean": (_FIRST + _SECOND) / 2}
ZEROS = {name: np.zeros(6) for name in DIFFERENCES}


def test_wilcoxon_examples():
    two_sided = paired_tests(DIFFERENCES, ZEROS)
    assert [test.p for test in two_sided.values()] == pytest.approx([0.03125, 0.84375, 0.25])
    less = paired_tests(ZEROS, DIFFERENCES, "less")
    assert [test.p for test in less.values()] == pytest.approx([0.015625, 0.421875, 0.125])
    assert two_sided["one"].median_difference == pytest.approx(0.035)


def test_cohens_d_example():
    assert effect_size(np.array([1, 2, 3, 4]), np.array([2, 3, 4, 6])) == pytest.approx(-0.953463, abs=1e-6)
    assert math.isnan(effect_size(np.ones(3), np.ones(3)))
    assert math.isnan(effect_size(np.ones(1), np.zeros(1)))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    corrected = holm([math.nan, 0.02, 0.01])
    assert math.isnan(corrected[0])
    assert corrected[1:] == pytest.approx([0.02, 0.02])


def test_a_test_needs_scans_and_differences():
    few = paired_tests({"a": [1.0] * 5}, {"a": [0.5, 0.4, 0.3, 0.2, 0.1]})["a"]
    assert (few.scans, math.isnan(few.p), math.isnan(few.p_corrected)) == (5, True, True)
    same = paired_tests({"a": [1.0] * 8}, {"a": [1.0] * 8})["a"]
    assert (same.scans, math.isnan(same.p), same.median_difference) == (8, True, 0)


def test_scans_that_one_model_lacks_do_not_count():
    first, second = [0.9, math.nan, *[0.8] * 6], [0.7, 0.6, *[0.5] * 5, math.nan]
    assert paired_tests({"a": first}, {"a": second})["a"].scans == 6
    assert paired_tests({"a": [math.nan]}, {"a": [1.0]})["a"].scans == 0


def test_summary():
    summary = summarise([3.0, 1.0, math.nan, 2.0, 4.0])
    assert (summary.scans, summary.mean, summary.median) == (4, 2.5, 2.5)
    assert (summary.lower_quartile, summary.upper_quartile) == (1.75, 3.25)
    assert (summary.minimum, summary.maximum) == (1, 4)
    assert summary.standard_deviation == pytest.approx(np.std([1, 2, 3, 4], ddof=1))
    assert math.isnan(summarise([1.0]).standard_deviation)
    assert (summarise([math.nan]).scans, math.isnan(summarise([]).mean)) == (0, True)
