"""Patterns of .bidsignore."""

import pytest

from synthseg_core.bids.discovery import discover
from synthseg_core.bids.ignore import is_ignored, parse_rules
from synthseg_core.bids.search import Search
from synthseg_core.bids.tally import Tally
from tests.phantoms.trees import make_tree


@pytest.mark.parametrize(
    ("pattern", "ignored", "kept"),
    [
        ("*_T2w.nii", "sub-1/anat/sub-1_T2w.nii", "sub-1/anat/sub-1_T1w.nii"),
        ("sub-1/", "sub-1/anat/a.nii", "sub-12/anat/a.nii"),
        ("/extra", "extra/a.nii", "sub-1/extra"),
        ("sub-1/anat", "sub-1/anat/a.nii", "x/sub-1/anat/a.nii"),
        ("sub-*/ses-?/**/a.nii", "sub-1/ses-2/anat/a.nii", "sub-1/ses-22/anat/a.nii"),
        ("**/b.nii", "b.nii", "b.nii.gz"),
        ("sub-[!2]*", "sub-1/a", "sub-2/a"),
        ("a.nii", "x/a.nii", "x/aXnii"),
        ("sub-1/**", "sub-1/x/y", "sub-1"),
        ("anat/", "sub-1/anat/a", "sub-1/anat"),
        ("sub-**.nii", "x/sub-1_T1w.nii", "sub-1/T1w.nii"),
        (r"\#a*.nii", "#a_T1w.nii", "b.nii"),
        (r"a\*.nii", "a*.nii", "ab.nii"),
        ("[]a].nii", "].nii", "b.nii"),
        ("/**/x/**", "sub-1/x/a.nii", "sub-1/x"),
    ],
)
def test_patterns_of_bidsignore(pattern, ignored, kept):
    rules = parse_rules([pattern])
    assert is_ignored(ignored, rules)
    assert not is_ignored(kept, rules)


def test_impossible_pattern_matches_nothing():
    assert not is_ignored("a.nii", parse_rules(["[b-a].nii"]))


def test_last_pattern_wins():
    rules = parse_rules(["*.nii", "!keep.nii", "x/"])
    assert is_ignored("a.nii", rules)
    assert not is_ignored("keep.nii", rules)
    assert is_ignored("x/keep.nii", rules)


def searched(tmp_path, lines, paths, **search):
    make_tree(tmp_path, paths)
    (tmp_path / ".bidsignore").write_text(lines)
    tally = Tally()
    return [row.path for row in discover(tmp_path, Search(**search), tally) if row.usable], tally


T1W, CT = "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_CT.nii.gz"


@pytest.mark.parametrize("lines", ["*_CT.nii.gz", "sub-01/anat/sub-01_CT.nii.gz", "**/anat/*_CT.*", "*CT*"])
@pytest.mark.parametrize("suffixes", [("CT",), ("CT", "T1w")])
def test_what_is_asked_for_by_name_is_taken_although_validators_must_not_see_it(tmp_path, lines, suffixes):
    found, tally = searched(tmp_path, lines, [T1W, CT], suffixes=suffixes)
    assert found == [path for path in (CT, T1W) if path.rpartition("_")[2].partition(".")[0] in suffixes]
    assert tally.overruled == {"CT": 1}
    assert "1 image taken although .bidsignore names" in tally.lines()[-1]


def test_folders_that_are_asked_for_by_name(tmp_path):
    path = "sub-01/ct/sub-01_ct.nii.gz"
    found, tally = searched(tmp_path, "**/ct/", [T1W, path], datatypes=("ct",), suffixes=("ct",))
    assert found == [path]
    assert not tally.ignored


@pytest.mark.parametrize(("lines", "kept"), [("sub-01/", 0), ("*_acq-bad_*", 1), ("*_T1w.nii.gz", 0)])
def test_what_is_ignored_for_other_reasons_stays_so_and_is_told(tmp_path, lines, kept):
    paths = [T1W, "sub-01/anat/sub-01_acq-bad_T1w.nii.gz"]
    found, tally = searched(tmp_path, lines, paths, suffixes=("T1w",) if "T1w" not in lines else Search().suffixes)
    assert len(found) == kept
    assert tally.ignored == {"T1w": 2 - kept}
    assert f"left out by .bidsignore: T1w {2 - kept}" in tally.lines()[0]


@pytest.mark.parametrize("line", ["sub-01/old/", "old", "**/old/**", "sub-01/old/*"])
def test_folders_that_are_no_scans_can_be_ignored(tmp_path, line):
    make_tree(tmp_path, [T1W, "sub-01/old/a.nii", "Sub-02/a.nii"])
    (tmp_path / ".bidsignore").write_text(f"{line}\nSub-02/\n")
    assert [row.path for row in discover(tmp_path, Search())] == [T1W]


def test_a_rule_that_chooses_among_scans_of_a_kind_chooses(tmp_path):
    bone = "sub-01/anat/sub-01_acq-bone_CT.nii.gz"
    found, _ = searched(tmp_path, "*_acq-bone_CT.nii.gz", [CT, bone], suffixes=("CT",))
    assert found == [CT]
