"""What lies in BIDS datasets beside scans with good names: told where it may have been meant, counted where not."""

import pytest

from synthseg_core.bids.bids_tree import BidsTree
from synthseg_core.bids.search import Search
from synthseg_core.bids.tally import Tally
from tests.phantoms.trees import make_tree
from tests.privileges import ordinary_user

GOOD = "sub-01/anat/sub-01_T1w.nii.gz"
# Where it lies, what the row is about, what is said.
MEANT = {
    "suffix in lower case": ("sub-02/anat/sub-02_t1w.nii.gz", "", "to end in _T1w, or search for --suffixes t1w"),
    "suffix in upper case": ("sub-02/anat/sub-02_T1W.nii.gz", "", "to end in _T1w"),
    "suffix without w": ("sub-02/anat/sub-02_T1.nii.gz", "", "to end in _T1w"),
    "suffix of old BIDS": ("sub-02/ses-1/anat/sub-02_ses-1_T2star.nii.gz", "", "to end in _T2starw"),
    "suffix is a sequence": ("sub-02/anat/sub-02_run-1_MPRAGE.nii", "", "to end in _T1w"),
    "FLAIR in lower case, with a session": ("sub-02/ses-1/anat/sub-02_ses-1_flair.nii", "", "to end in _FLAIR"),
    "folder of the data type": ("sub-02/Anat/sub-02_T1w.nii.gz", "sub-02/Anat", "rename the folder to anat"),
    "that in capitals": ("sub-02/ses-a/ANAT/sub-02_ses-a_T1w.nii", "sub-02/ses-a/ANAT", "rename the folder to anat"),
    "participant": ("Sub-02/anat/Sub-02_T1w.nii.gz", "Sub-02", "rename the folder to sub-02"),
    "participant in capitals": ("SUB-10/anat/x.nii", "SUB-10", "rename the folder to sub-10"),
    "underscore": ("sub_07/anat/sub_07_T1w.nii.gz", "sub_07", "rename the folder to sub-07"),
    "subject": ("Subject 3/a.nii.gz", "Subject 3", "rename the folder to sub-3"),
    "number": ("01/anat/01_T1w.nii.gz", "01", "rename the folder to sub-01"),
    "name with sessions": ("Smith/ses-1/anat/x.nii.gz", "Smith", "rename the folder to sub-Smith"),
    "session": ("sub-02/Ses-1/anat/x.nii.gz", "sub-02/Ses-1", "rename the folder to ses-1"),
    "session with underscore": ("sub-02/ses_pre/anat/x.nii", "sub-02/ses_pre", "rename the folder to ses-pre"),
    "folder of a contrast": ("sub-02/T1/scan.nii.gz", "sub-02/T1", "move its scans to sub-02/anat"),
    "folder of DICOM": ("sub-02/anat/dicom/IM1.dcm", "sub-02/anat/dicom", "move its scans to sub-02/anat"),
    "folder in the data type": ("sub-02/anat/old/a.nii", "sub-02/anat/old", "a folder inside sub-02/anat, so a.nii"),
    "FreeSurfer": ("sub-02/anat/sub-02_T1w.mgz", "", "the format .mgz, which BIDS does not have; convert"),
    "Analyze": ("sub-02/anat/sub-02_T1w.img", "", "the format .img, which"),
    "nrrd": ("sub-02/anat/sub-02_t2w.nrrd", "", "the format .nrrd, which"),
    "beside the folders": ("sub-02/sub-02_t1w.nii.gz", "", "to end in _T1w"),
    "at the top": ("sub-02_T1w.nii.gz", "", "move the file to sub-02/anat"),
    "at the top, without a name": ("brain.nii.gz", "", "a name that is not BIDS"),
    "empty participant": ("sub-02/", "sub-02", "an empty folder"),
    "empty data type": ("sub-02/anat/", "sub-02/anat", "an empty folder"),
    "derivative": ("sub-02/anat/sub-02_desc-preproc_T1w.nii", "", "choose among derivatives with a filter file"),
}  # fmt: skip
# What nobody means: where it lies, and what it is counted as.
OTHER = {
    "MP2RAGE": ("sub-02/anat/sub-02_inv-1_MP2RAGE.nii.gz", {"MP2RAGE": 1}),
    "map": ("sub-02/anat/sub-02_T1map.nii.gz", {"T1map": 1}),
    "CT": ("sub-02/anat/sub-02_CT.nii.gz", {"CT": 1}),
    "defacing mask": ("sub-02/anat/sub-02_mod-T1w_defacemask.nii.gz", {"defacemask": 1}),
    "phase": ("sub-02/anat/sub-02_part-phase_T2starw.nii.gz", {"part-phase": 1}),
    "mask of a derivative": ("sub-02/anat/sub-02_desc-brain_mask.nii.gz", {"mask": 1}),
    "functional, beside the folders": ("sub-02/sub-02_task-rest_bold.nii.gz", {"bold": 1}),
    "functional": ("sub-02/func/sub-02_task-rest_bold.nii.gz", {}),
    "field map": ("sub-02/ses-1/fmap/sub-02_ses-1_phasediff.nii.gz", {}),
    "sidecars": ("sub-02/anat/sub-02_T1w.json", {}),
    "hidden": ("sub-02/anat/.heudiconv/a.nii.gz", {}),
    "notes": ("sub-02/notes/a.txt", {}),
    "templates": ("atlas/MNI.nii.gz", {}),
    "sources": ("sourcedata/sub-02/T1.nii.gz", {}),
}


def searched(root, **search):
    tally = Tally()
    return {row.path: row for row in BidsTree(str(root), Search(**search), tally).rows()}, tally


@pytest.mark.parametrize("name", MEANT)
def test_what_was_perhaps_meant_is_listed_with_the_reason(tmp_path, name):
    place, path, reason = MEANT[name]
    rows, tally = searched(make_tree(tmp_path, [GOOD, place]))
    assert set(rows) == {GOOD, path or place}
    assert rows[GOOD].usable
    assert reason in rows[path or place].problem
    assert not rows[path or place].scan
    assert not tally.other


@pytest.mark.parametrize("name", OTHER)
def test_what_is_plainly_something_else_is_counted_at_most(tmp_path, name):
    place, counts = OTHER[name]
    rows, tally = searched(make_tree(tmp_path, [GOOD, place]))
    assert set(rows) == {GOOD}
    assert tally.other == counts


def test_rows_without_a_name_say_whose_they_are(tmp_path):
    make_tree(tmp_path, ["sub-02/ses-1/anat/sub-02_ses-1_t1w.nii", "Sub-03/anat/x.nii", "sub-04/"])
    rows, _ = searched(tmp_path)
    assert {(row.participant_id, row.session_id) for row in rows.values()} == {
        ("sub-02", "ses-1"),
        ("sub-03", ""),
        ("sub-04", ""),
    }


def test_participants_without_scans_are_known(tmp_path):
    make_tree(tmp_path, [GOOD, "sub-02/func/sub-02_task-a_bold.nii", "sub-03/anat/sub-03_T1map.nii", "sub-04/"])
    rows, tally = searched(tmp_path)
    assert tally.without == ["sub-02", "sub-03"] or sorted(tally.without) == ["sub-02", "sub-03"]
    assert tally.participants == {"sub-01", "sub-02", "sub-03", "sub-04"}
    assert set(rows) == {GOOD, "sub-04"}


def test_broken_links_to_folders(tmp_path):
    make_tree(tmp_path, [GOOD, "sub-07/func/a.nii", "sub-08/anat/sub-08_T1w.nii"])
    for place in ("sub-06", "sub-07/anat", "sub-08/ses-1"):
        (tmp_path / place).symlink_to("gone")
    rows, _ = searched(tmp_path)
    for place in ("sub-06", "sub-07/anat", "sub-08/ses-1"):
        assert "a link to a folder that is not there" in rows[place].problem
        assert not rows[place].not_downloaded


def test_participants_that_git_fetches_apart_are_not_downloaded(tmp_path):
    make_tree(tmp_path, [GOOD, "sub-02/", "sub-03/"])
    (tmp_path / ".gitmodules").write_text('[submodule "sub-02"]\n\tpath = sub-02\n\turl = ./sub-02\n')
    rows, _ = searched(tmp_path)
    assert rows["sub-02"].not_downloaded
    assert "datalad get sub-02" in rows["sub-02"].problem
    assert not rows["sub-03"].not_downloaded


def test_series_of_dicom_is_one_line(tmp_path):
    make_tree(tmp_path, [GOOD, *(f"sub-02/anat/{n}.dcm" for n in range(5))])
    rows, _ = searched(tmp_path)
    assert rows["sub-02/anat"].problem == "5 DICOM files; convert them with dcm2niix"


def test_folder_of_a_participant_without_permission():
    with ordinary_user() as root:
        make_tree(root, [GOOD, "sub-02/anat/sub-02_T1w.nii"])
        (root / "sub-02").chmod(0)
        rows, _ = searched(root)
        (root / "sub-02").chmod(0o700)
    assert "cannot be read (Permission denied)" in rows["sub-02"].problem
    assert rows["sub-02"].participant_id == "sub-02"


def test_results_and_other_derivatives_at_the_top_are_no_participants(tmp_path):
    make_tree(tmp_path, [GOOD, "out1/anat/x.nii", "old2/anat/x.nii"])
    (tmp_path / "old2/dataset_description.json").write_text('{"DatasetType": "derivative"}')
    rows, _ = searched(tmp_path, exclude=(tmp_path / "out1",))
    assert set(rows) == {GOOD}


def test_anatomy_that_is_not_searched_is_counted(tmp_path):
    rows, tally = searched(make_tree(tmp_path, [GOOD, "sub-01/ct/sub-01_ct.nii"]), datatypes=("ct",), suffixes=("ct",))
    assert set(rows) == {"sub-01/ct/sub-01_ct.nii"}
    assert tally.datatypes == {"anat": 1}


def test_suffix_in_the_wrong_case_on_the_command_line(tmp_path):
    rows, _ = searched(make_tree(tmp_path, [GOOD]), suffixes=("t1w",))
    assert "search for --suffixes T1w" in rows[GOOD].problem
