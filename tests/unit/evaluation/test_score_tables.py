"""Files of a validation: a row for every structure of every scan, and the means for programs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from synthseg_core.evaluation.overlap import overlap
from synthseg_core.evaluation.score_tables import COLUMNS, SUMMARY_NAME, TABLE_NAME, summary, write_report
from synthseg_core.evaluation.validation import CaseScore, Scores
from synthseg_core.labels.table import LabelTable
from synthseg_core.system.tables import read_tsv

TABLE = LabelTable(
    "phantom",
    (0, 2, 41),
    ("background", "left white matter", "right white matter"),
    ("neutral", "left", "right"),
    (0, 41, 2),
)


def case(name: str, predicted: list[int], true: list[int]) -> CaseScore:
    return CaseScore(name, overlap(np.array([[predicted]]), np.array([[true]]), (2, 41)))


SCORES = Scores((case("a", [2, 2, 0, 41], [2, 0, 0, 0]), case("b", [2, 0, 41, 41], [2, 2, 41, 41])))


def test_table(tmp_path):
    write_report(tmp_path, {"draws": SCORES}, TABLE, {"model": "tiny"})
    rows = read_tsv(tmp_path / TABLE_NAME, required=COLUMNS)
    assert [(row["case"], row["name"], row["predicted_voxels"], row["true_voxels"]) for row in rows] == [
        ("a", "left white matter", "2", "1"),
        ("a", "right white matter", "1", "0"),
        ("b", "left white matter", "1", "2"),
        ("b", "right white matter", "2", "2"),
    ]
    assert [row["dice"] for row in rows] == ["0.666667", "n/a", "0.666667", "1.0"]


def test_summary_has_facts_first_and_null_for_what_is_not_known(tmp_path):
    alone = Scores((case("a", [2, 2, 0, 41], [2, 0, 0, 0]),))
    write_report(tmp_path, {"draws": SCORES, "labelled": alone}, TABLE, {"model": "tiny"})
    content = json.loads((tmp_path / SUMMARY_NAME).read_text())
    assert list(content) == ["model", "draws", "labelled"]
    assert content["labelled"]["structures"] == {"left white matter": 0.6667, "right white matter": None}
    assert content["draws"]["scans"] == 2


def test_means():
    found = summary(SCORES, TABLE)
    assert found["score"] == pytest.approx((2 / 3 + 5 / 6) / 2, abs=1e-4)
    assert found["cases"] == {"a": 0.6667, "b": 0.8333}
    assert found["structures"] == {"left white matter": 0.6667, "right white matter": 1.0}
