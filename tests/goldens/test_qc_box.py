"""The cube and groups that the quality network sees, on real label maps, against the reference implementation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from synthseg_core.labels.table import LabelTable
from synthseg_core.segmentation.quality import one_hot, quality_box, quality_groups, tidy_scores

CASES = ("whole_head", "wide", "whole_head_v1", "wide_v1")


@pytest.fixture
def table(name):
    return LabelTable.builtin("segmentation_1.0" if name.endswith("_v1") else "segmentation_2.0")


@pytest.fixture
def expected(goldens, name):
    return np.load(goldens / "qc" / f"{name}.npz")


def test_all_stored_cases_are_listed(goldens):
    assert sorted(json.loads((goldens / "qc" / "index.json").read_text())) == sorted(CASES)


@pytest.mark.golden
@pytest.mark.parametrize("name", CASES)
def test_box(expected, table):
    cube = quality_box(expected["channels"], 224).extract(expected["channels"])
    assert cube.shape == (224, 224, 224)
    np.testing.assert_array_equal(np.bincount(cube.ravel(), minlength=len(table)), expected["box_sum"])
    found = np.nonzero(cube)
    np.testing.assert_array_equal([axis.min() for axis in found], expected["box_first_nonzero"])
    np.testing.assert_array_equal([axis.max() for axis in found], expected["box_last_nonzero"])


@pytest.mark.golden
@pytest.mark.parametrize("name", CASES)
def test_groups(expected, table):
    groups = quality_groups(expected["channels"], table, 9, 224)
    by_group = [sum(expected["box_sum"][np.equal(table.qc_groups, group)]) for group in range(9)]
    np.testing.assert_array_equal(np.bincount(groups.ravel(), minlength=9), by_group)
    hot = one_hot(groups[:, :, 100:104], 9)
    np.testing.assert_array_equal(hot.argmax(axis=0), groups[:, :, 100:104])
    np.testing.assert_array_equal(hot.sum(axis=0), 1)


@pytest.mark.golden
@pytest.mark.parametrize("name", CASES)
def test_scores_as_reported(goldens, name, expected):
    scores = tidy_scores(expected["qc_raw"], LabelTable.builtin("qc_2.0"))
    reported = json.loads((goldens / "qc" / "index.json").read_text())[name]["reported"]
    assert [f"{score.score:.4f}" for score in scores] == reported
