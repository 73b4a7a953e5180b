"""The review of a dataset: what is read of the group page's table, and what cannot be used."""

from __future__ import annotations

import pytest

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
    assert "in line 2 the review of sub-1_T1w: 'bad'; expected accept, doubt, reject or n/a; correct that line" in line


def test_other_tables_are_named_and_cost_nothing(tmp_path):
    (tmp_path / REVIEW_NAME).write_text("scan\tverdict\nx\ty\n")
    found = read_reviews(tmp_path)
    assert found.by_name == {}
    assert REVIEW_NAME in found.faults[0]


TABLE = 'report\treview\tnote\nsub-1_T1w\treject\tmüde, "sehr"\nsub-2_T1w\taccept\tn/a\n'
SAVED = {
    "sub-1_T1w": Review("reject", 'müde, "sehr"'),
    "sub-2_T1w": Review("accept", ""),
}


@pytest.mark.parametrize(
    "data",
    [
        TABLE.replace('müde, "sehr"', '"müde, ""sehr"""').replace("\n", "\r\n").encode("utf-8-sig"),
        TABLE.replace('müde, "sehr"', '"müde, ""sehr"""').encode("utf-16"),
        TABLE.replace('müde, "sehr"', '"müde, ""sehr"""').encode("cp1252"),
        'report;review;note\r\n"sub-1_T1w";"reject";"müde, ""sehr"""\r\n"sub-2_T1w";"accept";""\r\n'.encode(),
        'Note,Report,Review,When\n"müde, ""sehr""",sub-1_T1w.html,Reject,today\n,sub-2_T1w,ACCEPT\n,,,\n'.encode(),
        TABLE.replace('müde, "sehr"', '"müde,\n""sehr"""').encode(),
    ],
    ids=["CRLF and BOM", "UTF-16", "Western", "semicolons", "commas, other columns, capitals", "line break"],
)
def test_tables_that_a_spreadsheet_saved(tmp_path, data):
    (tmp_path / REVIEW_NAME).write_bytes(data)
    found = read_reviews(tmp_path)
    assert found.by_name == SAVED
    assert found.faults == ()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('sub-2_T1w\tdoubt\t"open', "quotes that cannot be understood"),
        ("sub-2_T1w\tdoubt\ta\tb", "4 cells; expected 3, as in the first line"),
        ("\tdoubt\ta", "no report"),
        ("sub-1_T1w\taccept\tn/a", "another review of sub-1_T1w than above"),
    ],
)
def test_lines_that_cannot_be_used_are_named_by_their_number(tmp_path, line, words):
    (tmp_path / REVIEW_NAME).write_text(f"report\treview\tnote\nsub-1_T1w\treject\tx\n{line}\nsub-3_T1w\tdoubt\ty\n")
    found = read_reviews(tmp_path)
    assert found.by_name["sub-3_T1w"] == Review("doubt", "y")
    assert found.by_name.get("sub-1_T1w") == (None if "another" in words else Review("reject", "x"))
    (fault,) = found.faults
    assert "in line 3 " in fault
    assert words in fault


def test_reviews_of_scans_that_are_gone_are_kept_and_told(tmp_path):
    (tmp_path / REVIEW_NAME).write_text(TABLE.replace('"', ""))
    found = read_reviews(tmp_path)
    assert {*found.of_others(["sub-1_T1w"])} == {"sub-2_T1w"}
    assert found.notes(["sub-1_T1w"]) == (f"{REVIEW_NAME}: reviews of scans that are not here: sub-2_T1w",)
    assert found.notes(["sub-1_T1w", "sub-2_T1w"]) == ()
