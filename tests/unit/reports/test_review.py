"""The review of a dataset: what is read of the group page's table, and what cannot be used."""

from __future__ import annotations

from synthseg_core.reports.review import MARKS, REVIEW_NAME, Review, read_reviews


def test_marks_and_notes(tmp_path):
    marked = [f"sub-{n}_T1w\t{mark}\tn/a" for n, mark in enumerate(MARKS)]
    lines = ["report\treview\tnote", *marked, "sub-9_T1w\tn/a\tx"]
    (tmp_path / REVIEW_NAME).write_text("\n".join(lines) + "\n")
    found = read_reviews(tmp_path)
    assert [found.by_name[f"sub-{n}_T1w"].mark for n in range(3)] == list(MARKS)
    assert found.by_name["sub-9_T1w"] == Review("", "x")
    assert found.of("sub-1/anat/sub-1_T1w") == Review("doubt", "")
    assert found.of("sub-7/anat/sub-7_T1w") == Review("", "")
    assert found.faults == ()


def test_no_review(tmp_path):
    assert read_reviews(tmp_path).by_name == {}


def test_notes_are_optional(tmp_path):
    (tmp_path / REVIEW_NAME).write_text("report\treview\nsub-1_T1w\taccept\n")
    assert read_reviews(tmp_path).by_name == {"sub-1_T1w": Review("accept", "")}


def test_unknown_words_cost_their_line_alone(tmp_path):
    (tmp_path / REVIEW_NAME).write_text("report\treview\tnote\nsub-1_T1w\tbad\tn/a\nsub-2_T1w\treject\tn/a\n")
    found = read_reviews(tmp_path)
    assert list(found.by_name) == ["sub-2_T1w"]
    (line,) = found.faults
    assert "found the review of sub-1_T1w: 'bad'; expected accept, doubt, reject or n/a; correct that line" in line


def test_other_tables_are_named_and_cost_nothing(tmp_path):
    (tmp_path / REVIEW_NAME).write_text("scan\tverdict\nx\ty\n")
    found = read_reviews(tmp_path)
    assert found.by_name == {}
    assert REVIEW_NAME in found.faults[0]
