"""Our own search and pybids name the same scans, on trees of empty files shaped like public datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from bids.layout import BIDSLayout, BIDSLayoutIndexer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthseg_core.bids.names import BidsName
from synthseg_core.bids.scan_table import find_scans
from synthseg_core.bids.search import SUFFIXES, Search
from tests.phantoms.trees import make_tree

DESCRIPTION = json.dumps({"Name": "shapes", "BIDSVersion": "1.11.1"})
INDEXER = BIDSLayoutIndexer(validate=True, index_metadata=False)


def each(subjects: Iterable[str], *files: str) -> list[str]:
    """Return files of several subjects; ``*`` stands for the subject's label."""
    return [file.replace("*", subject) for subject in subjects for file in files]


# Shapes of the public example datasets of BIDS and of others, by name where they imitate one.
TREES = {
    "ds001": each(
        ["01", "02"],
        "sub-*/anat/sub-*_T1w.nii.gz",
        "sub-*/anat/sub-*_inplaneT2.nii.gz",
        "sub-*/func/sub-*_task-balloon_run-01_bold.nii.gz",
    ),
    "ds114, sessions": each(
        ["01", "10"],
        *(f"sub-*/ses-{ses}/anat/sub-*_ses-{ses}_T1w.nii.gz" for ses in ("test", "retest")),
        "sub-*/ses-test/dwi/sub-*_ses-test_dwi.nii.gz",
    ),
    "7t_trt": each(
        ["01"],
        "sub-*/ses-1/anat/sub-*_ses-1_T1map.nii.gz",
        "sub-*/ses-1/anat/sub-*_ses-1_T1w.nii.gz",
        "sub-*/ses-2/fmap/sub-*_ses-2_run-1_phasediff.nii.gz",
        "sub-*/ses-2/func/sub-*_ses-2_task-rest_acq-fullbrain_run-1_bold.nii.gz",
    ),
    "synthetic, uncompressed": each(
        ["01", "02"],
        "sub-*/ses-01/anat/sub-*_ses-01_T1w.nii",
        "sub-*/ses-01/func/sub-*_ses-01_task-nback_run-01_bold.nii",
        "derivatives/fmriprep/sub-*/ses-01/anat/sub-*_ses-01_desc-preproc_T1w.nii",
    ),
    "hcp_example_bids": each(
        ["100307"], *(f"sub-*/anat/sub-*_run-0{n}_{s}.nii.gz" for n in (1, 2) for s in ("T1w", "T2w"))
    ),
    "ds000117, MEG and FLASH": [
        *each(
            ["01", "16"],
            "sub-*/ses-mri/anat/sub-*_ses-mri_acq-mprage_T1w.nii.gz",
            *(f"sub-*/ses-mri/anat/sub-*_ses-mri_run-{r}_echo-{e}_FLASH.nii.gz" for r in (1, 2) for e in (1, 7)),
            "sub-*/ses-mri/fmap/sub-*_ses-mri_echo-1_magnitude1.nii.gz",
            "sub-*/ses-meg/meg/sub-*_ses-meg_task-facerecognition_run-01_meg.fif",
        ),
        "sub-emptyroom/ses-20090409/meg/sub-emptyroom_ses-20090409_task-noise_meg.fif",
        "derivatives/meg_derivatives/sub-01/ses-meg/meg/sub-01_ses-meg_task-facerecognition_run-01_proc-sss_meg.fif",
        "stimuli/meg/f001.bmp",
    ],
    "ds000246, folders that are files": [
        "sub-0001/anat/sub-0001_T1w.nii.gz",
        "sub-0001/meg/sub-0001_task-AEF_run-01_meg.ds/S01_AEF.meg4",
        "sub-emptyroom/meg/sub-emptyroom_task-noise_run-01_meg.ds/a.meg4",
    ],
    "qmri_mp2rage": each(
        ["1"],
        *(f"sub-*/anat/sub-*_inv-{n}_part-{part}_MP2RAGE.nii.gz" for n in (1, 2) for part in ("mag", "phase")),
        "sub-*/anat/sub-*_UNIT1.nii.gz",
        "sub-*/anat/sub-*_T1map.nii.gz",
        "sub-*/fmap/sub-*_acq-anat_TB1TFL.nii.gz",
    ),
    "qmri_megre": each(
        ["01"],
        *(f"sub-*/anat/sub-*_echo-{n}_part-{part}_MEGRE.nii.gz" for n in (1, 2) for part in ("mag", "phase")),
        "sub-*/anat/sub-*_Chimap.nii.gz",
        "sub-*/anat/sub-*_T1w.nii.gz",
    ),
    "qmri_mpm, vfa, irt1, mtsat": each(
        ["01"],
        "sub-*/anat/sub-*_acq-head_echo-1_flip-6_mt-on_MPM.nii.gz",
        "sub-*/anat/sub-*_flip-1_VFA.nii.gz",
        "sub-*/anat/sub-*_inv-1_IRT1.nii.gz",
        "sub-*/anat/sub-*_flip-1_mt-off_MTS.nii.gz",
        "sub-*/anat/sub-*_PDw.nii.gz",
    ),
    "asl001": each(
        ["Sub103"], "sub-*/anat/sub-*_T1w.nii.gz", "sub-*/perf/sub-*_asl.nii.gz", "sub-*/perf/sub-*_m0scan.nii.gz"
    ),
    "pet001": each(
        ["01"], "sub-*/ses-01/anat/sub-*_ses-01_T1w.nii", "sub-*/ses-01/pet/sub-*_ses-01_trc-CIMBI36_pet.nii.gz"
    ),
    "micr_SEM, no scans": ["sub-01/ses-01/micr/sub-01_ses-01_sample-A_SPIM.ome.tif", "samples.tsv"],
    "mrs": each(["01"], "sub-*/anat/sub-*_T1w.nii.gz", "sub-*/mrs/sub-*_acq-press_voi-acc_svs.nii.gz"),
    "ieeg, photos among the scans": each(
        ["som748"],
        "sub-*/ses-somecog01/anat/sub-*_ses-somecog01_T1w.nii.gz",
        "sub-*/ses-somecog01/anat/sub-*_ses-somecog01_acq-render_photo.jpg",
        "sub-*/ses-somecog01/ieeg/sub-*_ses-somecog01_task-visual_run-01_ieeg.edf",
    ),
    "genetics_ukbb": each(["1", "2"], *(f"sub-*/anat/sub-*_{s}.nii.gz" for s in ("T1w", "FLAIR", "T2starw", "SWI"))),
    "sessions mixed with none": [
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz",
        "sub-03/anat/sub-03_T1w.nii.gz",
        "sub-03/ses-b/anat/sub-03_ses-b_T1w.nii.gz",
        "sub-04/ses-c/func/sub-04_ses-c_task-x_bold.nii.gz",
    ],
    "every entity that a contrast may have": [
        "sub-01/anat/sub-01_task-rest_acq-a_ce-gd_rec-n_run-1_echo-2_part-mag_chunk-3_T2w.nii.gz",
        "sub-01/anat/sub-01_acq-b_T2w.nii.gz",
        "sub-01/anat/sub-01_acq-b_run-1_T2w.nii.gz",
        "sub-01/anat/sub-01_rec-b_run-01_T2w.nii.gz",
    ],
    "parts": each(
        ["01"],
        *(f"sub-*/anat/sub-*_part-{part}_T2starw.nii.gz" for part in ("mag", "phase", "real", "imag")),
        "sub-*/anat/sub-*_T2starw.nii.gz",
    ),
    "contrasts that nobody asked for": each(
        ["01"],
        "sub-*/anat/sub-*_angio.nii.gz",
        "sub-*/anat/sub-*_PDT2.nii.gz",
        "sub-*/anat/sub-*_mod-T1w_defacemask.nii.gz",
        "sub-*/anat/sub-*_T2star.nii.gz",
    ),
    "other top folders": [
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
        "derivatives/sub-01/anat/sub-01_T1w.nii.gz",
        "derivatives/x/sub-01/anat/sub-01_T1w.nii.gz",
        "code/sub-01/anat/sub-01_T1w.nii.gz",
        "stimuli/sub-01_T1w.nii.gz",
        "models/sub-01/anat/sub-01_T1w.nii.gz",
        "phenotype/x.tsv",
        ".git/sub-01/anat/sub-01_T1w.nii.gz",
        ".heudiconv/01/sub-01_T1w.nii.gz",
    ],
    "files at wrong levels": [
        "sub-01/sub-01_T1w.nii.gz",
        "sub-01/ses-a/sub-01_ses-a_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_ses-a_T1w.nii.gz",
        "sub-01/anat/sub-02_T1w.nii.gz",
        "sub-01/anat/nested/sub-01_T1w.nii.gz",
        "sub-01_T1w.nii.gz",
        "anat/sub-01_T1w.nii.gz",
        "sub-01/func/sub-01_T1w.nii.gz",
        "sub-01/dwi/sub-01_T1w.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
    ],
    "odd extensions": [
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_T1w.json",
        "sub-01/anat/sub-01_T2w.mgz",
        "sub-01/anat/sub-01_T2w.img",
        "sub-01/anat/sub-01_T2w.hdr",
        "sub-01/anat/sub-01_FLAIR.nii.gz.bak",
        "sub-01/anat/sub-01_FLAIR.nii.zip",
        "sub-01/anat/sub-01_PDw.bak.nii.gz",
        "sub-01/anat/sub-01_PDw.gz",
        "sub-01/anat/._sub-01_PDw.nii.gz",
        "sub-01/anat/.sub-01_PDw.nii.gz",
    ],
    "upper and lower case": [
        "sub-AB/anat/sub-AB_T1w.nii.gz",
        "sub-ab/anat/sub-ab_T1w.nii.gz",
        "sub-01/ANAT/sub-01_T1w.nii.gz",
        "sub-02/anat/sub-02_t1w.nii.gz",
        "Sub-03/anat/Sub-03_T1w.nii.gz",
        "SUB-04/anat/SUB-04_T1w.nii.gz",
        "sub-05/Ses-1/anat/sub-05_Ses-1_T1w.nii.gz",
    ],
    "labels": [
        "sub-01+x/anat/sub-01+x_T1w.nii.gz",
        "sub-0_1/anat/sub-0_1_T1w.nii.gz",
        "sub-0 2/anat/sub-0 2_T1w.nii.gz",
        "sub-é/anat/sub-é_T1w.nii.gz",
        "sub-/anat/sub-_T1w.nii.gz",
        "sub-0-3/anat/sub-0-3_T1w.nii.gz",
        "sub-04/ses-1_2/anat/sub-04_ses-1_2_T1w.nii.gz",
        "sub-05/ses-pre-op/anat/sub-05_ses-pre-op_T1w.nii.gz",
    ],
    "names that are not BIDS": [
        "sub-01/anat/T1w.nii.gz",
        "sub-01/anat/sub-01_T1w_old.nii.gz",
        "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
        "sub-01/anat/sub-01_space-MNI_T1w.nii.gz",
        "sub-01/anat/sub-01.nii.gz",
        "sub-01/anat/sub-01_run-1_run-2_T1w.nii.gz",
        "sub-01/anat/sub-01__T1w.nii.gz",
        "sub-01/anat/sub-01_T1w (copy).nii.gz",
    ],
    "nothing": ["README"],
    "templates": ["tpl-x/anat/tpl-x_T1w.nii.gz", "sub-01/anat/sub-01_T1w.nii.gz"],
}


def dataset(root: Path, paths: Iterable[str]) -> Path:
    """Make a tree with a description, which pybids demands."""
    make_tree(root, paths)
    (root / "dataset_description.json").write_text(DESCRIPTION)
    return root


def ours(root: Path, **search: tuple[str, ...]) -> set[str]:
    """Return the paths of usable scans."""
    return {row.path for row in find_scans(root, Search(**search)) if row.usable}


def theirs(root: Path, suffixes=SUFFIXES, datatypes=("anat",)) -> set[str]:
    """Return what pybids says of a dataset, names validated."""
    layout = BIDSLayout(root, indexer=INDEXER)
    found = layout.get(
        return_type="filename",
        datatype=list(datatypes),
        suffix=list(suffixes),
        extension=[".nii", ".nii.gz"],
        part=[None, "mag"],
    )
    return {Path(path).relative_to(root).as_posix() for path in found}


@pytest.mark.parametrize("name", TREES)
def test_same_scans(tmp_path, name):
    root = dataset(tmp_path / "bids", TREES[name])
    assert ours(root) == theirs(root)


@pytest.mark.parametrize("suffixes", [("T1map", "UNIT1", "MTS"), ("MEGRE", "MP2RAGE"), ("T2star", "angio", "SWI")])
def test_same_scans_of_other_kinds(tmp_path, suffixes):
    root = dataset(tmp_path / "bids", [path for name in TREES for path in TREES[name] if path.startswith("sub-0")])
    assert ours(root, suffixes=suffixes) == theirs(root, suffixes)


def test_same_scans_of_other_data_types(tmp_path):
    root = dataset(tmp_path / "bids", [*TREES["asl001"], *TREES["pet001"]])
    datatypes, suffixes = ("anat", "perf", "pet"), ("T1w", "asl", "pet")
    found = ours(root, suffixes=suffixes, datatypes=datatypes)
    assert found == theirs(root, suffixes, datatypes)
    assert len(found) == 4


ODD = ("asked for", "wrong levels", "extensions", "case", "labels", "not BIDS")


@pytest.mark.parametrize("name", [name for name in TREES if not name.endswith(ODD)])
def test_valid_datasets_have_nothing_to_complain_about(tmp_path, name):
    assert [row.path for row in find_scans(dataset(tmp_path, TREES[name]), Search(layout="bids")) if row.problem] == []


def test_same_scans_behind_links(tmp_path):
    elsewhere = make_tree(tmp_path / "elsewhere", ["object", "sub-02/anat/sub-02_T1w.nii.gz", "x/sub-03_T1w.nii.gz"])
    root = dataset(tmp_path / "real", ["sub-01/anat/", "sub-03/", "sub-04/anat/sub-04_T1w.nii.gz"])
    links = {"sub-01/anat/sub-01_T1w.nii.gz": "object", "sub-02": "sub-02", "sub-03/anat": "x", "sub-05": "gone"}
    for place, target in links.items():
        (root / place).symlink_to(elsewhere / target)
    (root / "sub-04/ses-1").symlink_to(root / "sub-04")
    (tmp_path / "bids").symlink_to(root)
    assert ours(tmp_path / "bids") == theirs(tmp_path / "bids")
    assert len(ours(root)) == 4
    # The link in a circle is followed once, and told; so is the link to nowhere.
    misplaced = ["sub-04/ses-1/anat/sub-04_T1w.nii.gz", "sub-04/ses-1/ses-1", "sub-05"]
    assert [row.path for row in find_scans(root, Search()) if row.problem] == misplaced


labels = st.sampled_from(["1", "01", "a", "A", "a+b", "10"])
numbers = st.sampled_from(["1", "01", "2"])
ENTITIES_OF_CONTRASTS = {"acq": labels, "ce": labels, "rec": labels, "run": numbers, "echo": numbers, "chunk": numbers}


@st.composite
def paths(draw) -> str:
    """Any place of any valid scan of a contrast, and of some that are no scans."""
    entities = {"sub": draw(labels)}
    if draw(st.booleans()):
        entities["ses"] = draw(labels)
    for key in draw(st.sets(st.sampled_from(sorted(ENTITIES_OF_CONTRASTS)), max_size=3)):
        entities[key] = draw(ENTITIES_OF_CONTRASTS[key])
    extension = draw(st.sampled_from([".nii", ".nii.gz", ".json"]))
    name = BidsName(entities, draw(st.sampled_from([*SUFFIXES[:6], "angio"])), extension)
    folders = [f"{key}-{entities[key]}" for key in ("sub", "ses") if key in entities]
    return "/".join([*folders, draw(st.sampled_from(["anat", "anat", "anat", "func"])), str(name)])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(paths(), unique=True, max_size=8))
def test_same_scans_in_any_tree(tmp_path_factory, tree):
    root = dataset(tmp_path_factory.mktemp("bids"), tree)
    named = {row.path for row in find_scans(root, Search()) if row.scan}
    assert named == theirs(root)


# Where we differ, and why: path, and whether we take it. pybids takes the others.
DIFFERENCES = {
    # A name that can be read and is unique is enough to keep results apart; validators are there for the rest.
    "sub-01/anat/sub-01_run-1_acq-a_T1w.nii.gz": True,
    "sub-01/anat/sub-01_run-a_T1w.nii.gz": True,
    "sub-01/anat/sub-01_lab-a_T1w.nii.gz": True,
    "sub-01/anat/sub-01_inv-1_T1w.nii.gz": True,
    "sub-01/anat/sub-01_T2w.NII.GZ": True,
    # Logs of programs are no scans.
    "logs/sub-01/anat/sub-01_T1w.nii.gz": False,
    # pybids does not read .bidsignore.
    "sub-02/anat/sub-02_T1w.nii.gz": False,
    "sub-04/ses-mri/anat/sub-04_ses-mri_run-1_echo-1_FLASH.nii.gz": False,
    # Two files of one scan: which is right cannot be known. Both are listed with the reason.
    "sub-03/anat/sub-03_T1w.nii.gz": False,
    "sub-03/anat/sub-03_T1w.nii": False,
}


def test_where_we_differ(tmp_path):
    root = dataset(tmp_path / "bids", DIFFERENCES)
    (root / ".bidsignore").write_text("sub-02/\n*_FLASH.nii.gz\n")
    taken = {path for path, ours_only in DIFFERENCES.items() if ours_only}
    assert ours(root) == taken
    assert theirs(root) == DIFFERENCES.keys() - taken


def test_what_pybids_lists_and_cannot_be_read_has_a_reason(tmp_path):
    root = dataset(tmp_path / "bids", ["sub-01/anat/", "sub-02/anat/sub-02_T1w.nii.gz/x"])
    (root / "sub-01/anat/sub-01_T1w.nii.gz").symlink_to(tmp_path / "not downloaded")
    rows = find_scans(root, Search())
    assert {row.path for row in rows} >= theirs(root)
    assert [row.usable for row in rows] == [False, False]
