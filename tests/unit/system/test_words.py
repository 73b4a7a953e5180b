import pytest

from synthseg_core.system.words import counted, listed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((0, "scan"), "0 scans"),
        ((1, "scan"), "1 scan"),
        ((2, "scan"), "2 scans"),
        ((1, "participant or session", "participants or sessions"), "1 participant or session"),
        ((11, "participant or session", "participants or sessions"), "11 participants or sessions"),
    ],
)
def test_numbers_have_their_nouns(words, expected):
    assert counted(*words) == expected


def test_many_names_are_counted():
    assert listed(["a", "b", "a"]) == "a, b"
    assert listed(map(str, range(12)), most=3) == "0, 1, 2, and 9 more"
