"""Whose a label is, as spreadsheets leave it."""

from synthseg_core.bids.participant_labels import People


def test_labels_as_they_are():
    people = People(["sub-01", "sub-A+1"])
    assert [people.exactly(cell) for cell in ("sub-01", " SUB-01", "01", "sub_A+1", "1", "")] == [
        "sub-01", "sub-01", "sub-01", "sub-A+1", None, None,
    ]  # fmt: skip


def test_zeros_and_capitals():
    people = People(["sub-01", "sub-Pat7", "sub-1000"])
    assert people.of(["1", "sub-pat7", "1000.0", "2"]) == [
        (["sub-01"], True), (["sub-Pat7"], True), (["sub-1000"], True), ([], False),
    ]  # fmt: skip
    assert People(["sub-a", "sub-A"]).of(["a", "A"]) == [(["sub-a"], True), (["sub-A"], True)]
    assert People(["sub-1", "sub-01"]).of(["001"]) == [(["sub-01", "sub-1"], False)]
    assert People(["sub-01"]).of(["1", "001"]) == [(["sub-01"], False)] * 2


def test_who_is_named_somewhere_in_a_line():
    people = People(["sub-01", "sub-02"])
    assert people.named_in(["# sub-01", "34", "sub-03", "02"]) == ["sub-01"]
