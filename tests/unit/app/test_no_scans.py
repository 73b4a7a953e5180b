"""What is said where there is no scan to segment: in one line, and nothing is left behind."""

import json

import pytest

from synthseg_core.app.main import main
from tests.phantoms.trees import make_tree

T1W = [f"sub-0{n}/anat/sub-0{n}_T1w.nii.gz" for n in (1, 2)]
# The files, the options, and what the line has to name.
CASES = {
    "label without zeros": (T1W, ["--participant-label", "1"], "no sub-1 (there is sub-01); expected at least one"),
    "label in another case": (["sub-AB/anat/sub-AB_T1w.nii"], ["--participant-label", "ab"], "there is sub-AB"),
    "session": (["sub-1/ses-01/anat/sub-1_ses-01_T1w.nii"], ["--session-label", "1"], "no ses-1 (there is ses-01)"),
    "all are excluded": (T1W, ["--exclude-participant-label", "01", "02"], "none of 2 images is selected"),
    "other suffixes": (["sub-1/anat/sub-1_echo-1_MEGRE.nii"], [], "other kinds: MEGRE 1; 1 participant without T1w"),
    "suffix in the wrong case": (T1W, ["--suffixes", "t1w"], "search for --suffixes T1w"),
    "only functional": (["sub-1/func/sub-1_task-a_bold.nii"], [], "folders that are not searched: func 1"),
    "DICOM": (["series/1.dcm", "series/2.dcm"], [], "formats that are not read: DICOM 2"),
    "Analyze": (["p1/T1.img", "p1/T1.hdr", "p2/T1.nrrd"], [], "formats that are not read: .img 1, .nrrd 1"),
    "two datasets": ([f"ds{n}/{T1W[0]}" for n in (1, 2)], [], "to read it as such: ds1, ds2"),
    "other datatype": (T1W, ["--datatypes", "ct"], "folders that are not searched: anat 2"),
    "nothing": (["notes.txt"], [], "check that the dataset is there and its disk mounted"),
    "odd names": (["sub-1/anat/sub-1_T1w_old.nii"], [], "sub-1_T1w_old.nii (a name that is not BIDS: rename the file)"),
    "lower case, by label": (["sub-2/anat/sub-2_t1w.nii", *T1W], ["--participant-label", "2"], "sub-2_t1w.nii (the"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_there_instead_is_named(tmp_path, capsys, name):
    files, options, said = CASES[name]
    make_tree(tmp_path / "in", files)
    assert main([str(tmp_path / "in"), str(tmp_path / "out"), "participant", *options]) == 2
    error = capsys.readouterr().err
    assert "found no usable scan; " in error
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_filter_that_matches_nothing(tmp_path, capsys):
    make_tree(tmp_path / "in", T1W)
    filters = {"any": {"session": "x"}}
    (tmp_path / "f.json").write_text(json.dumps(filters))
    words = [str(tmp_path / "in"), str(tmp_path / "out"), "participant", "--bids-filter-file", str(tmp_path / "f.json")]
    assert main(words) == 2
    assert f"nothing that the filter file {tmp_path}/f.json asks for" in capsys.readouterr().err


def test_ignored_scans(tmp_path, capsys):
    make_tree(tmp_path / "in", T1W)
    (tmp_path / "in/.bidsignore").write_text("*_T1w.nii.gz\n")
    assert main([str(tmp_path / "in"), str(tmp_path / "out"), "participant"]) == 2
    assert ".bidsignore leaves out: T1w 2" in capsys.readouterr().err


def test_table_without_lines(tmp_path, capsys):
    (tmp_path / "scans.csv").write_text("path,subject\n")
    assert main([str(tmp_path / "scans.csv"), str(tmp_path / "out"), "participant"]) == 2
    assert "a table without a line for a scan" in capsys.readouterr().err


def test_scans_that_are_not_downloaded_leave_the_table_of_the_last_run(tmp_path, capsys):
    make_tree(tmp_path / "in", ["sub-1/anat/"])
    (tmp_path / "in/sub-1/anat/sub-1_T1w.nii").symlink_to("../../.git/annex/objects/a/b/c")
    make_tree(tmp_path / "out/.work", ["scans.tsv"], b"as it was\n")
    assert main([str(tmp_path / "in"), str(tmp_path / "out"), "participant"]) == 2
    error = capsys.readouterr().err
    assert "1 scan not downloaded, such as sub-1/anat/sub-1_T1w.nii" in error
    assert "datalad get" in error
    assert (tmp_path / "out/.work/scans.tsv").read_text() == "as it was\n"
    assert [path.name for path in (tmp_path / "out/.work").iterdir()] == ["scans.tsv"]
