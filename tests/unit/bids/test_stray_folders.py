"""Folders that somebody may have meant as a participant or a session."""

import pytest

from synthseg_core.bids.search import Search
from synthseg_core.bids.stray_folders import participant_like, session_like
from tests.phantoms.trees import make_tree


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("SUB-10/anat/a.nii", "10"),
        ("sub07/a.nii.gz", "07"),
        ("subj 3/x/a.nii", "3"),
        ("patient12/a.nii", "patient12"),
        ("Smith/Anat/a.nii", "Smith"),
        ("Smith/other/a.nii", ""),
        ("subcortical/a.nii", ""),
        ("01/notes.txt", ""),
        ("derivatives/sub-01/a.nii", ""),
        (".hidden1/a.nii", ""),
        ("tpl-MNI152/anat/tpl-MNI152_T1w.nii", ""),
        ("atlas-4S/anat/a.nii", ""),
    ],
)
def test_participants(tmp_path, path, label):
    make_tree(tmp_path, [path])
    assert participant_like(tmp_path / path.split("/")[0], Search()) == label


@pytest.mark.parametrize(
    ("name", "label"),
    [("Ses-1", "ses-1"), ("session_pre", "ses-pre"), ("ses2", "ses-2"), ("sesame", ""), ("ses-", ""), ("T1", "")],
)
def test_sessions(name, label):
    assert session_like(name) == label
