"""Patterns of .bidsignore."""

import pytest

from synthseg_core.bids.ignore import is_ignored, parse_rules


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
