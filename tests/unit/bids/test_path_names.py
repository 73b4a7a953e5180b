"""Names of participants and scans from paths."""

import pytest

from synthseg_core.bids.discovery import discover
from synthseg_core.bids.names import derivative
from synthseg_core.bids.path_names import former_label, name_from_path
from synthseg_core.bids.search import Search
from synthseg_core.bids.tally import Tally
from tests.phantoms.trees import make_tree


@pytest.mark.parametrize(
    ("path", "person", "suffix"),
    [
        ("Smith Anna/T1.nii.gz", "Smith Anna", "T1"),
        ("Smith Anna/FLAIR.nii", "Smith Anna", "FLAIR"),
        ("Smith Anna/t2_flair.mgz", "Smith Anna", "t2flair"),
        ("p1/T1 scan.nii.gz", "p1", "T1scan"),
        ("p1/T1.mgh", "p1", "T1"),
        ("p1/p1_T1.nii.gz", "p1", "T1"),
        ("BraTS_001/BraTS_001_t1ce.nii.gz", "BraTS_001", "t1ce"),
        ("p1/T1/image.nii.gz", "p1/image", "T1"),
        ("p1/T1/T1.nii.gz", "p1", "T1"),
        ("p1/T1/mprage.nii.gz", "p1", "T1mprage"),
        ("T1/p1.nii.gz", "p1", "T1"),
        ("clinic/p1_3D_T1_sag.nii", "clinic/p1", "3DT1sag"),
        ("p1/before/T1.nii", "p1/before", "T1"),
        ("study/T1_p1.nii", "study/T1_p1", "orig"),
        ("p1/T1_01.nii", "p1/T1_01", "orig"),
        ("T1.nii", "T1", "orig"),
        ("T1/T2.nii", "T1/T2", "orig"),
        ("scans/a.nii", "scans/a", "orig"),
    ],
)
def test_words_at_the_end_speak_of_the_scan_and_the_rest_of_the_person(path, person, suffix):
    said = name_from_path(path)
    assert (said.person, said.suffix) == (person, suffix)


def found(root, results=None):
    tally = Tally()
    return {row.path: row for row in discover(root, Search(layout="folder", results=results), tally)}, tally


def test_two_scans_of_one_person_are_one_participant(tmp_path):
    rows, _ = found(make_tree(tmp_path, ["Smith Anna/T1.nii.gz", "Smith Anna/FLAIR.nii.gz"]))
    assert {row.scan for row in rows.values()} == {
        "sub-SmithAnna/anat/sub-SmithAnna_space-T1",
        "sub-SmithAnna/anat/sub-SmithAnna_space-FLAIR",
    }


def test_names_in_other_scripts_stay_apart_and_the_same(tmp_path):
    paths = ["日本/T1.nii", "東京/T1.nii", "日本/FLAIR.nii", "Иванов/T1.nii", "Müller/T1.nii"]
    rows, _ = found(make_tree(tmp_path, paths))
    assert all(row.usable for row in rows.values())
    labels = {path: row.participant_id for path, row in rows.items()}
    assert labels["日本/T1.nii"] == labels["日本/FLAIR.nii"]
    assert len(set(labels.values())) == 4
    assert labels["Müller/T1.nii"] == "sub-Muller"
    assert found(tmp_path)[0] == rows


def test_two_people_never_become_one(tmp_path):
    rows, _ = found(make_tree(tmp_path, ["a b/T1.nii", "ab/FLAIR.nii", "c/T1.nii"]))
    assert [path for path, row in rows.items() if row.usable] == ["c/T1.nii"]
    assert "a b and ab both become sub-ab" in rows["ab/FLAIR.nii"].problem


def made(results, *labels):
    return make_tree(results, [derivative(f"sub-{label}/anat/sub-{label}_space-orig", "dseg") for label in labels])


def test_earlier_results_keep_their_names(tmp_path):
    root = make_tree(tmp_path / "scans", ["p1/T1.nii", "p1/FLAIR.nii"])
    rows, tally = found(root, made(tmp_path / "out", "p1T1"))
    assert former_label("p1/T1.nii") == "p1T1"
    assert rows["p1/T1.nii"].scan == "sub-p1T1/anat/sub-p1T1_space-orig"
    assert rows["p1/T1.nii"].participant_id == "sub-p1T1"
    assert rows["p1/FLAIR.nii"].scan == "sub-p1/anat/sub-p1_space-FLAIR"
    assert tally.notes == ["p1/T1.nii keeps the name of its earlier results, sub-p1T1"]


def test_earlier_results_that_two_scans_may_have_made_are_nobody_s(tmp_path):
    root = make_tree(tmp_path / "scans", ["日本/T1.nii", "東京/T1.nii"])
    rows, tally = found(root, made(tmp_path / "out", "T1"))
    assert all(row.usable and row.suffix == "T1" for row in rows.values())
    assert "earlier results of sub-T1 belong to 日本/T1.nii or 東京/T1.nii: these are made again" in tally.notes
