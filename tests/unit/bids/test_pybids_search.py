"""Filters, saved databases and derivatives, which pybids answers."""

from __future__ import annotations

import json

import pytest

from synthseg_core.bids import pybids_search
from synthseg_core.bids.names import DERIVED, ENTITIES
from synthseg_core.bids.pybids_search import DATABASE_FILE
from synthseg_core.bids.scan_table import find_scans, source_uri
from synthseg_core.bids.search import Search
from synthseg_core.bids.tally import Tally
from synthseg_core.errors import InputError, UsageError
from tests.phantoms.trees import make_tree
from tests.privileges import ordinary_user

T1W = ["sub-01_ses-a", "sub-01_ses-b_run-01", "sub-01_ses-b_run-02", "sub-02", "sub-02_acq-x"]
RAW = [
    "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz",
    "sub-01/ses-b/anat/sub-01_ses-b_run-01_T1w.nii.gz",
    "sub-01/ses-b/anat/sub-01_ses-b_run-02_T1w.nii.gz",
    "sub-01/ses-b/anat/sub-01_ses-b_FLAIR.nii.gz",
    "sub-02/anat/sub-02_T1w.nii",
    "sub-02/anat/sub-02_acq-x_T1w.nii.gz",
    "sub-02/anat/sub-02_T1w.json",
    "sub-02/anat/sub-02_T1map.nii.gz",
    "sub-02/anat/sub-02_part-phase_T2starw.nii.gz",
    "sub-02/func/sub-02_task-rest_bold.nii.gz",
    "sourcedata/sub-03/anat/sub-03_T1w.nii.gz",
]
PREPARED = [
    "sub-02/anat/sub-02_desc-preproc_T1w.nii.gz",
    "sub-02/anat/sub-02_space-MNI_res-2_desc-preproc_T1w.nii.gz",
    "sub-02/anat/sub-02_desc-brain_mask.nii.gz",
]


@pytest.fixture
def bids(tmp_path):
    return make_tree(tmp_path / "bids", RAW)


def filtered(bids, filters, **search):
    file = bids.parent / "filter.json"
    file.write_text(json.dumps(filters))
    return find_scans(bids, Search(filter_file=file, **search))


def names(rows):
    return [row.path.rpartition("/")[2].partition(".")[0] for row in rows if row.usable]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"t1w": {}}, [f"{name}_T1w" for name in T1W]),
        ({"t1w": {"session": None}}, ["sub-02_T1w", "sub-02_acq-x_T1w"]),
        ({"t1w": {"session": "Query.NONE"}}, ["sub-02_T1w", "sub-02_acq-x_T1w"]),
        ({"t1w": {"session": "*", "run": None}}, ["sub-01_ses-a_T1w"]),
        ({"t1w": {"session": "<Query.ANY: 2>", "run": "<Query.NONE: 1>"}}, ["sub-01_ses-a_T1w"]),
        ({"t1w": {"session": "Query.REQUIRED", "run": "Query.OPTIONAL"}}, [f"{name}_T1w" for name in T1W[:3]]),
        ({"t1w": {"session": "ses-a", "subject": "sub-01"}}, ["sub-01_ses-a_T1w"]),
        ({"t1w": {"run": "*"}}, ["sub-01_ses-b_run-01_T1w", "sub-01_ses-b_run-02_T1w"]),
        ({"t1w": {"run": 1}}, ["sub-01_ses-b_run-01_T1w"]),
        ({"t1w": {"run": "02"}}, ["sub-01_ses-b_run-02_T1w"]),
        ({"t1w": {"run": [None, 2], "acq": None}}, ["sub-01_ses-a_T1w", "sub-01_ses-b_run-02_T1w", "sub-02_T1w"]),
        ({"t1w": {"acq": "x"}}, ["sub-02_acq-x_T1w"]),
        ({"t1w": {"sub": "02", "desc": None, "acq": None}}, ["sub-02_T1w"]),
        ({"t1w": {"desc": "preproc"}}, []),
        ({"any": {"subject": "02", "datatype": "*"}}, ["sub-02_T1w", "sub-02_acq-x_T1w"]),
    ],
)  # fmt: skip
def test_filters_of_one_kind(bids, filters, expected):
    rows = filtered(bids, filters, suffixes=("T1w",))
    assert names(rows) == expected
    assert all(row.usable for row in rows)


ALL_T1W = [f"{name}_T1w" for name in T1W]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"t1w": {"acq": "x"}}, ["sub-01_ses-b_FLAIR", "sub-02_acq-x_T1w"]),
        ({"T1W": {"acq": "x"}, "flair": {"run": 1}}, ["sub-02_acq-x_T1w"]),
        ({"flair": {"run": 1}}, ALL_T1W),
        ({"any": {"suffix": ["FLAIR", "T1map"], "subject": "02"}}, [*ALL_T1W[:3], "sub-02_T1map", *ALL_T1W[3:]]),
        ({"any": {"subject": "02"}}, ALL_T1W[3:]),
        ({"any": {"part": "phase"}}, ["sub-02_part-phase_T2starw"]),
        ({"bold": {"task": "rest"}, "fmap": {"session": None}, "t1w": {"acq": "x"}, "flair": {"run": 1}}, ALL_T1W[4:]),
        ({"bold": {"task": "rest"}}, [*ALL_T1W[:1], "sub-01_ses-b_FLAIR", *ALL_T1W[1:]]),
    ],
)  # fmt: skip
def test_kinds_that_a_filter_does_not_name_stay_as_they_are(bids, filters, expected):
    rows = filtered(bids, filters)
    assert sorted(names(rows)) == sorted(expected)
    assert all(row.usable for row in rows)


def test_without_a_filter_the_scans_are_those_of_our_own_search(bids, tmp_path):
    (bids / ".bidsignore").write_text("*_FLAIR.nii.gz\n")
    make_tree(bids, ["sub-02/anat/sub-02_T1w.nii.gz", "sub-02/anat/sub-09_T1w.nii.gz", "out/sub-1/anat/sub-1_T1w.nii"])
    make_tree(bids, ["logs/sub-1/anat/sub-1_T1w.nii"])
    (bids / "sub-02/anat/sub-02_T2w.nii.gz").symlink_to("nowhere")
    rows = find_scans(bids, Search(database=tmp_path / "db", exclude=(bids / "out",)))
    assert rows == find_scans(bids, Search(exclude=(bids / "out",)))
    assert len([row for row in rows if not row.usable]) == 4


def test_filters_in_yaml(bids, tmp_path):
    (tmp_path / "filter.yaml").write_text("t1w:\n  session: null\n  acquisition: '*'\n")
    search = Search(filter_file=tmp_path / "filter.yaml", suffixes=("T1w",))
    assert names(find_scans(bids, search)) == ["sub-02_acq-x_T1w"]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"t1w": {"sessoin": "a"}}, r"t1w: 'sessoin' is not a recognized entity. Did you mean \['session"),
        ({"t1w": "a"}, "found 'a' as t1w"),
        ({"t1w": {"mt": True}}, "found True as t1w.mt, perhaps a word without quotes"),
        ({"t1w": {"run": {"a": 1}}}, "as t1w.run"),
        ([], "no entries with names"),
        ({}, "no names of kinds"),
    ],
)
def test_filters_that_make_no_sense(bids, filters, message):
    with pytest.raises((InputError, UsageError), match=message):
        filtered(bids, filters)


def test_filter_files_that_cannot_be_read(bids, tmp_path):
    (tmp_path / "f.json").write_text("{")
    for name, message in (("f.json", "Expecting property name"), ("none.json", "No such file")):
        with pytest.raises(InputError, match=message):
            find_scans(bids, Search(filter_file=tmp_path / name))


@pytest.mark.parametrize("text", ["[1]", '"text"', "5"])
def test_descriptions_that_pybids_cannot_read_are_told(bids, text):
    (bids / "dataset_description.json").write_text(text)
    with pytest.raises(InputError, match=r"dataset_description.json: found JSON that is a .*; expected a JSON object"):
        filtered(bids, {"t1w": {}})


def test_description_that_is_a_folder(bids):
    make_tree(bids, ["dataset_description.json/"])
    with pytest.raises(InputError, match=r"dataset_description.json: found Is a directory"):
        filtered(bids, {"t1w": {}})


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"{}", '{"Name": "é"}'.encode("latin-1"), b"\xef\xbb\xbf{}"])
def test_descriptions_that_say_nothing_will_do(bids, content):
    (bids / "dataset_description.json").write_bytes(content)
    assert len(names(filtered(bids, {"t1w": {}}, suffixes=("T1w",)))) == 5


def test_folders_that_cannot_be_searched_are_listed_with_a_filter_too(bids):
    (bids / "sub-05").symlink_to("gone")
    make_tree(bids, ["sub-06/anat/", "sub-07/anat/sub-07_t1w.nii", "sub-08/anat/sub-08_MEGRE.nii", "sub-09/"])
    (bids / ".bidsignore").write_text("sub-09/\n")
    tally = Tally()
    (bids.parent / "f.json").write_text('{"t1w": {"run": null}}')
    rows = find_scans(bids, Search(filter_file=bids.parent / "f.json"), tally)
    assert [row.path for row in rows if row.problem] == ["sub-05", "sub-06/anat"]
    assert tally.other == {"MEGRE": 1, "T1map": 1}
    assert tally.without == ["sub-08"]


def test_folders_without_permission_cost_nothing_but_themselves():
    with ordinary_user() as folder:
        root = make_tree(folder / "bids", [f"sub-0{n}/anat/sub-0{n}_T1w.nii" for n in (1, 2, 3)])
        (root / "sub-06").symlink_to("sub-06")
        (root / "sub-02").chmod(0)
        (root / "sub-03/anat").chmod(0o444)
        rows = filtered(root, {"t1w": {}})
        (root / "sub-02").chmod(0o755)
        (root / "sub-03/anat").chmod(0o755)
    assert names(rows) == ["sub-01_T1w"]
    assert {row.path for row in rows if row.problem} >= {"sub-02", "sub-06"}
    assert any(row.participant_id == "sub-03" and row.problem for row in rows)


def test_database_is_made_once_and_used_again(bids, tmp_path):
    search = Search(database=tmp_path / "new" / "db")
    rows = find_scans(bids, search)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["db"]
    assert [path.name for path in search.database.iterdir()] == [DATABASE_FILE]
    make_tree(bids, ["sub-09/anat/sub-09_T1w.nii.gz"])
    assert find_scans(bids, search) == rows
    (bids / "sub-02/anat/sub-02_T1w.nii").unlink()
    (problem,) = [row.problem for row in find_scans(bids, search) if row.problem]
    assert f"no such file, but in the database; delete {search.database}" in problem


def test_database_whose_making_failed_leaves_nothing(bids, tmp_path, monkeypatch):
    index = pybids_search._indexed

    def interrupted(*arguments):
        index(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(pybids_search, "_indexed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_scans(bids, Search(database=tmp_path / "db"))
    assert [path.name for path in tmp_path.iterdir()] == ["bids"]


def test_databases_of_others(bids, tmp_path):
    other = make_tree(tmp_path / "other", RAW[:1])
    find_scans(other, Search(database=tmp_path / "db"))
    with pytest.raises(InputError, match=r"a database of .*other; expected a pybids database of .*bids"):
        find_scans(bids, Search(database=tmp_path / "db"))
    (make_tree(tmp_path / "bad", []) / DATABASE_FILE).write_bytes(b"x" * 5000)
    with pytest.raises(InputError, match="no usable database .*file is not a database"):
        find_scans(bids, Search(database=tmp_path / "bad"))


def derivative_dataset(folder):
    make_tree(folder, PREPARED)
    description = {"Name": "x", "BIDSVersion": "1.11.1", "DatasetType": "derivative", "GeneratedBy": [{"Name": "prep"}]}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    return folder


@pytest.mark.parametrize("inside", [True, False])
def test_derivatives_beside_the_raw_scans(bids, tmp_path, inside):
    folder = derivative_dataset((bids / "derivatives" if inside else tmp_path) / "prep")
    filters = {"t1w": {"subject": "02", "acquisition": None}}
    rows = filtered(bids, filters, derivatives=(folder,), suffixes=("T1w",))
    assert {row.scan.rpartition("/")[2] for row in rows if row.usable} == {
        "sub-02_space-T1w",
        "sub-02_space-T1wpreproc",
        "sub-02_space-T1wMNI2preproc",
    }
    assert {row.suffix for row in rows} == {"T1w"}
    first = next(row for row in rows if "preproc" in row.path)
    assert first.path == (f"derivatives/prep/{PREPARED[0]}" if inside else f"{folder}/{PREPARED[0]}")
    assert source_uri(first) == (f"bids:raw:{first.path}" if inside else (folder / PREPARED[0]).as_uri())


def test_a_derivative_dataset_as_input(tmp_path):
    root = derivative_dataset(tmp_path / "prep")
    rows = filtered(root, {"t1w": {"space": None, "desc": "preproc"}})
    assert [row.scan for row in rows if row.usable] == ["sub-02/anat/sub-02_space-T1wpreproc"]


def test_derivatives_have_databases_of_their_own(bids, tmp_path):
    search = Search(database=tmp_path / "db", derivatives=(derivative_dataset(tmp_path / "prep"),))
    rows = find_scans(bids, search)
    assert (tmp_path / "db" / "prep" / DATABASE_FILE).is_file()
    assert find_scans(bids, search) == rows
    assert sum("preproc" in row.path for row in rows) == 2


def test_missing_pybids_is_said(bids, monkeypatch):
    monkeypatch.setattr(pybids_search, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="no pybids in this environment; .*pip install"):
        find_scans(bids, Search(database=bids / "db"))


def test_every_entity_of_raw_scans_can_be_asked_for(bids):
    keys = [key for key in ENTITIES if key not in (*DERIVED, "sub", "tpl", "cohort", "hemi", "split", "scale")]
    assert len(names(filtered(bids, {"t1w": dict.fromkeys(keys)}, suffixes=("T1w",)))) == 1
