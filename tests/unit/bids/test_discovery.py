import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.bids import bids_tree
from synthseg_core.bids.discovery import dataset_of, datasets_in, discover
from synthseg_core.bids.names import ScanName, parse_name
from synthseg_core.bids.search import Search
from synthseg_core.bids.tally import Tally
from synthseg_core.errors import InputError
from tests.phantoms.trees import make_tree
from tests.privileges import ordinary_user

TREES = {
    "single session": (
        ["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii"],
        ["sub-01/anat/sub-01_space-T1w", "sub-02/anat/sub-02_space-T1w"],
    ),
    "sessions and runs, mixed": (
        [
            "sub-01/ses-a/anat/sub-01_ses-a_run-1_T1w.nii.gz",
            "sub-01/ses-a/anat/sub-01_ses-a_run-2_T1w.nii.gz",
            "sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz",
            "sub-02/anat/sub-02_acq-x_T2w.nii.gz",
        ],
        [
            "sub-01/ses-a/anat/sub-01_ses-a_run-1_space-T1w",
            "sub-01/ses-a/anat/sub-01_ses-a_run-2_space-T1w",
            "sub-01/ses-b/anat/sub-01_ses-b_space-T1w",
            "sub-02/anat/sub-02_acq-x_space-T2w",
        ],
    ),
    "contrasts, no T1w": (
        ["sub-01/anat/sub-01_FLAIR.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz"],
        ["sub-01/anat/sub-01_space-FLAIR", "sub-01/anat/sub-01_space-T2w"],
    ),
    "derivatives, sourcedata, other data types, sidecars": (
        [
            "sub-01/anat/sub-01_T1w.nii.gz",
            "sub-01/anat/sub-01_T1w.json",
            "sub-01/anat/._sub-01_T1w.nii.gz",
            "sub-01/func/sub-01_task-rest_bold.nii.gz",
            "sub-01/anat/sub-01_T1map.nii.gz",
            "sub-01/anat/sub-01_part-phase_T2starw.nii.gz",
            "derivatives/x/sub-01/anat/sub-01_T1w.nii.gz",
            "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
        ],
        ["sub-01/anat/sub-01_space-T1w"],
    ),
}


def stems(rows):
    return [row.scan for row in rows if row.usable]


def refuse_folder(monkeypatch, end):
    """Pretend that folders with a certain end of their path may not be listed, which root always may."""
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith(end):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(bids_tree.os, "scandir", refuse)


def problems(rows):
    return {row.path: row.problem for row in rows if row.problem}


@pytest.mark.parametrize("layout", ["auto", "bids"])
@pytest.mark.parametrize("name", TREES)
def test_bids_trees(tmp_path, name, layout):
    paths, expected = TREES[name]
    found = discover(make_tree(tmp_path, paths), Search(layout=layout))
    assert stems(found) == expected
    assert problems(found) == {}


def test_choice_of_suffixes_and_datatypes(tmp_path):
    make_tree(tmp_path, ["sub-01/anat/sub-01_T1map.nii.gz", "sub-01/perf/sub-01_m0scan.nii.gz"])
    assert stems(discover(tmp_path, Search(suffixes=("T1map",)))) == ["sub-01/anat/sub-01_space-T1map"]
    search = Search(suffixes=("m0scan",), datatypes=("anat", "perf"))
    assert stems(discover(tmp_path, search)) == ["sub-01/perf/sub-01_space-m0scan"]


def test_odd_names_come_back_with_the_reason(tmp_path):
    make_tree(
        tmp_path,
        [
            "sub-01/anat/sub-01_T1w.nii.gz",
            "sub-01/anat/sub-01_T1w_old.nii.gz",
            "sub-01/anat/sub-01_T1w.bak.nii.gz",
            "sub-01/anat/sub-02_T1w.nii.gz",
            "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
        ],
    )
    found = discover(tmp_path, Search())
    assert stems(found) == ["sub-01/anat/sub-01_space-T1w"]
    reasons = problems(found)
    assert "not BIDS" in reasons["sub-01/anat/sub-01_T1w_old.nii.gz"]
    assert "extension .bak.nii.gz" in reasons["sub-01/anat/sub-01_T1w.bak.nii.gz"]
    assert "belongs in sub-02/anat" in reasons["sub-01/anat/sub-02_T1w.nii.gz"]
    assert "entity desc" in reasons["sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"]


def test_scans_with_the_same_derivatives_are_all_refused(tmp_path):
    make_tree(
        tmp_path,
        [
            "sub-01/anat/sub-01_T1w.nii",
            "sub-01/anat/sub-01_T1w.nii.gz",
            "sub-01/anat/sub-01_run-1_acq-a_T1w.nii",
            "sub-01/anat/sub-01_acq-a_run-1_T1w.nii",
            "sub-02/anat/sub-02_T1w.nii",
        ],
    )
    found = discover(tmp_path, Search())
    assert stems(found) == ["sub-02/anat/sub-02_space-T1w"]
    assert len(problems(found)) == 4
    assert "same derivative names as sub-01/anat/sub-01_T1w.nii;" in problems(found)["sub-01/anat/sub-01_T1w.nii.gz"]


def test_links(tmp_path):
    make_tree(tmp_path / "annex", ["a", "sub-03/anat/sub-03_T1w.nii.gz"])
    make_tree(tmp_path / "bids", ["sub-01/anat/", "sub-02/anat/sub-02_T1w.nii.gz/"])
    (tmp_path / "bids/sub-01/anat/sub-01_T1w.nii.gz").symlink_to(tmp_path / "annex/a")
    (tmp_path / "bids/sub-01/anat/sub-01_T2w.nii.gz").symlink_to(tmp_path / "annex/missing")
    (tmp_path / "bids/sub-03").symlink_to(tmp_path / "annex/sub-03")
    (tmp_path / "bids/sub-04").symlink_to(tmp_path / "annex/gone")
    found = discover(tmp_path / "bids", Search())
    assert stems(found) == ["sub-01/anat/sub-01_space-T1w", "sub-03/anat/sub-03_space-T1w"]
    reasons = problems(found)
    assert "datalad get" in reasons["sub-01/anat/sub-01_T2w.nii.gz"]
    assert "not a regular file" in reasons["sub-02/anat/sub-02_T1w.nii.gz"]


def test_unreadable_subject_is_no_reason_to_stop(tmp_path, monkeypatch):
    make_tree(tmp_path, ["sub-01/anat/sub-01_T1w.nii", "sub-02/anat/sub-02_T1w.nii"])
    refuse_folder(monkeypatch, "sub-01/anat")
    found = discover(tmp_path, Search())
    assert stems(found) == ["sub-02/anat/sub-02_space-T1w"]
    assert problems(found) == {
        "sub-01/anat": "a folder that cannot be read (Permission denied); correct its permissions"
    }


def test_bidsignore(tmp_path):
    make_tree(
        tmp_path, ["sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"]
    )
    (tmp_path / ".bidsignore").write_text("# remark\n\n*_T2w.nii.gz\nsub-02/\n")
    assert stems(discover(tmp_path, Search())) == ["sub-01/anat/sub-01_space-T1w"]


def test_bidsignore_in_another_encoding(tmp_path):
    make_tree(tmp_path, ["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"])
    (tmp_path / ".bidsignore").write_bytes(b"\xef\xbb\xbfsub-02/\r\n# caf\xe9\r\n")
    assert stems(discover(tmp_path, Search())) == ["sub-01/anat/sub-01_space-T1w"]


def test_images_beside_the_folders_of_data_types_come_back_with_the_reason(tmp_path):
    make_tree(
        tmp_path,
        [
            "sub-01/sub-01_T1w.nii.gz",
            "sub-01/ses-a/sub-01_ses-a_T2w.nii.gz",
            "sub-01/sub-01_task-rest_bold.nii.gz",
            "sub-02/T1.nii.gz",
            "sub-02/T1.json",
        ],
    )
    found = discover(tmp_path, Search())
    assert stems(found) == []
    reasons = problems(found)
    assert "move the file to sub-01/anat" in reasons["sub-01/sub-01_T1w.nii.gz"]
    assert "move the file to sub-01/ses-a/anat" in reasons["sub-01/ses-a/sub-01_ses-a_T2w.nii.gz"]
    assert "not BIDS" in reasons["sub-02/T1.nii.gz"]
    assert len(reasons) == 3


def test_unreadable_session_costs_no_other(tmp_path, monkeypatch):
    make_tree(tmp_path, [f"sub-01/ses-{s}/anat/sub-01_ses-{s}_T1w.nii" for s in "ab"])
    refuse_folder(monkeypatch, "ses-a")
    found = discover(tmp_path, Search())
    assert stems(found) == ["sub-01/ses-b/anat/sub-01_ses-b_space-T1w"]
    assert "cannot be read (Permission denied)" in problems(found)["sub-01/ses-a"]


def test_names_too_long_for_their_derivatives(tmp_path):
    make_tree(tmp_path, [f"{'a' * 100}/{'b' * 100}.nii", "c.nii"])
    found = discover(tmp_path, Search())
    assert stems(found) == ["sub-c/anat/sub-c_space-orig"]
    assert "too long" in next(iter(problems(found).values()))


@pytest.mark.parametrize("session", ["", "ses-2"])
def test_names_judged_by_their_ends_are_those_of_whole_names(tmp_path, session):
    """Names are judged once for all participants: that has to give what parsing each of them gives."""
    ends = ["run-1_acq-x_T1w", "tpl-a_T1w", "zz-1_T2w", "acq-1_ses-3_T1w", "sub-2_T1w", "chunk-2_FLAIR"]
    for subject in ("sub-a", "sub-1+2"):
        names = [f"{'_'.join(filter(None, (subject, session, end)))}.nii" for end in ends]
        make_tree(tmp_path, ["/".join(filter(None, (subject, session, "anat", name))) for name in names])
    found = discover(tmp_path, Search())
    assert len(found) == 12
    for row in found:
        parsed = parse_name(row.path.rpartition("/")[2]) if row.usable else None
        assert parsed is None or row.scan == ScanName(parsed.entities, parsed.suffix).stem
    assert sum(row.usable for row in found) == 8


def test_plain_folder(tmp_path):
    make_tree(
        tmp_path,
        [
            "patient one/T1 scan.nii.gz",
            "patient one/.hidden/a.nii",
            "b.MGZ",
            "sub-07_ses-2_T2w.nii.gz",
            "notes.txt",
            "out/sub-1/anat/sub-1_space-orig_seg-synthseg_dseg.nii.gz",
        ],
    )
    found = discover(tmp_path, Search(exclude=(tmp_path / "out",)))
    assert stems(found) == [
        "sub-b/anat/sub-b_space-orig",
        "sub-patientone/anat/sub-patientone_space-T1scan",
        "sub-07/ses-2/anat/sub-07_ses-2_space-T2w",
    ]
    assert problems(found) == {}


def test_plain_folder_with_clashing_and_nameless_files(tmp_path):
    make_tree(tmp_path, ["a_b.nii", "ab.nii", "_.nii", "a\tc.nii"])
    found = discover(tmp_path, Search(layout="folder"))
    assert stems(found) == []
    reasons = problems(found)
    assert "a_b and ab both become sub-ab; rename one" in reasons["a_b.nii"]
    assert "no letter or digit" in reasons["_.nii"]
    assert "unprintable" in reasons[r"'a\tc.nii'"]


def test_what_was_made_of_scans_is_no_scan(tmp_path):
    """Results of an earlier run in the same folder; but a derivative dataset that is asked for by itself is taken."""
    make_tree(tmp_path, ["a.nii", "out/sub-a/anat/sub-a_desc-brain_mask.nii.gz", "raw/b.nii"])
    make_tree(tmp_path, ["out/dataset_description.json"], b'{"DatasetType": "derivative"}')
    make_tree(tmp_path, ["raw/dataset_description.json"], b"[1]")
    search = Search(layout="folder")
    assert [row.path for row in discover(tmp_path, search)] == ["a.nii", "raw/b.nii"]
    assert len(discover(tmp_path / "out", search)) == 1


def test_linked_folders_are_followed_once(tmp_path):
    make_tree(tmp_path / "scans", ["x/a.nii"])
    make_tree(tmp_path / "else", ["b.nii"])
    (tmp_path / "scans/link").symlink_to(tmp_path / "else")
    (tmp_path / "scans/x/loop").symlink_to(tmp_path / "scans")
    found = discover(tmp_path / "scans", Search())
    assert [row.path for row in found] == ["link/b.nii", "x/a.nii"]


def test_unreadable_folder_of_a_plain_search(tmp_path, monkeypatch):
    make_tree(tmp_path, ["x/a.nii", "y/b.nii"])
    refuse_folder(monkeypatch, "x")
    found = discover(tmp_path, Search(layout="folder"))
    assert stems(found) == ["sub-yb/anat/sub-yb_space-orig"]
    assert "cannot be read" in problems(found)["x"]


def test_dataset_that_may_not_be_looked_into():
    with ordinary_user() as folder:
        folder.chmod(0)
        with pytest.raises(InputError, match="no permission to look into it; .*correct the permissions"):
            discover(folder, Search())
        with pytest.raises(InputError, match="no such folder"):
            discover(folder / "inside", Search())


STUDY = [
    "rawdata/sub-01/anat/sub-01_T1w.nii.gz",
    "rawdata/dataset_description.json",
    "derivatives/freesurfer/sub-01/mri/orig.mgz",
    "sourcedata/p1/localizer.nii.gz",
    "code/a.py",
]


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ([], "rawdata"),
        (["dataset_description.json"], "rawdata"),
        (["docs/a.txt"], "rawdata"),
        (["scans/a.nii"], ""),
        (["a.nii"], ""),
        (["other/sub-01/anat/sub-01_T1w.nii"], ""),
        (["sub-01/anat/sub-01_T1w.nii"], ""),
    ],
)
def test_the_only_dataset_of_a_study_is_taken(tmp_path, more, found):
    make_tree(tmp_path, [*STUDY, *more])
    assert dataset_of(tmp_path, "auto") == tmp_path / found
    assert dataset_of(tmp_path, "folder") == tmp_path
    assert dataset_of(tmp_path / "rawdata", "auto") == tmp_path / "rawdata"


def test_results_in_a_study_do_not_change_which_dataset_is_taken(tmp_path):
    make_tree(tmp_path, [*STUDY, "out/sub-01/anat/sub-01_space-T1w_dseg.nii.gz"])
    assert dataset_of(tmp_path, "auto", (tmp_path / "out",)) == tmp_path / "rawdata"


def test_raw_data_among_the_sources_of_a_study(tmp_path):
    make_tree(
        tmp_path, ["sourcedata/raw/sub-01/anat/sub-01_T1w.nii", "derivatives/x/a.nii", "dataset_description.json"]
    )
    assert dataset_of(tmp_path, "auto") == tmp_path / "sourcedata/raw"


def test_plain_folder_with_datasets_in_it_says_so(tmp_path):
    make_tree(tmp_path, [*STUDY, "other/sub-01/anat/sub-01_T2w.nii", "other/sub-01/func/sub-01_task-a_bold.nii"])
    tally = Tally()
    found = discover(tmp_path, Search(), tally)
    assert datasets_in(tmp_path) == [tmp_path / "other", tmp_path / "rawdata"]
    assert "read as a plain folder; give the folder of a BIDS dataset to read it as such: other, rawdata" in tally.notes
    assert not any("bold" in row.path for row in found)
    assert tally.other == {"bold": 1}


def test_missing_dataset(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        discover(tmp_path / "absent", Search())


@settings(deadline=None)
@given(st.lists(st.text("ab_-.é \n'{", min_size=1, max_size=6), unique=True, max_size=5))
def test_no_image_of_a_plain_folder_is_lost(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("plain")
    make_tree(folder, [f"x{name}.nii" for name in names])
    found = discover(folder, Search(layout="folder"))
    assert len(found) == len(names)
    taken = stems(found)
    assert len(set(taken)) == len(taken)
