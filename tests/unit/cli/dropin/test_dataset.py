"""``synthseg dataset``: the twelve faults of the reference's data-set command, mended; networks replaced."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.dropin import one_scan
from synthseg_core.cli.main import main
from synthseg_core.system.tables import read_tsv
from tests.phantoms.scans import phantom, write_nifti
from tests.privileges import ordinary_user
from tests.unit.cli.fake_segmenter import FakeSegmenter


@pytest.fixture
def segmenter(monkeypatch) -> FakeSegmenter:
    fake = FakeSegmenter(monkeypatch)
    monkeypatch.setattr(one_scan, "find_weights", lambda card, folder: fake.weights(card, folder))
    return fake


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Data set of three good scans in different formats, with relative paths."""
    folder = tmp_path / "study"
    write_nifti(folder / "s1/a.nii.gz", phantom(seed=1))
    write_nifti(folder / "s2/b_coarse.nii", phantom(seed=2))
    np.savez(folder / "c.npz", vol_data=phantom(seed=3).data)
    write_csv(folder, "subject,path,age", "s1,s1/a.nii.gz,31", "s2,s2/b_coarse.nii,", "s3,c.npz,57")
    return folder


def write_csv(folder: Path, *lines: str) -> None:
    (folder / "scans.csv").write_text("\n".join(lines) + "\n")


def dataset(study: Path, *arguments: object) -> int:
    return main(["dataset", "--csv", str(study / "scans.csv"), *map(str, arguments)])


def computed(segmenter: FakeSegmenter) -> list[str]:
    """Names computed since the last call."""
    names = [name for name, *_ in segmenter.computed]
    segmenter.computed.clear()
    return names


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_outputs_lie_beside_the_scans(segmenter, study, capsys):
    before = files(study)
    assert dataset(study, "--qc", "--post", "--resample") == 0
    assert files(study) - before == {
        *(f"{stem}{end}" for stem in ("s1/a", "s2/b_coarse", "c") for end in ("_segm.nii.gz", "_volumes.csv")),
        *(f"{stem}{end}" for stem in ("s1/a", "s2/b_coarse", "c") for end in ("_posteriors.nii.gz", "_qc.csv")),
        "s2/b_coarse_resampled.nii.gz",
        "scans_synthseg_checkpoint.json",
        "scans_synthseg_volumes.tsv",
    }
    first = (study / "s1/a_volumes.csv").read_text().splitlines()
    assert first[0] == ",total intracranial,csf"
    assert first[1].startswith("a,")
    assert nib.load(study / "c_segm.nii.gz").get_data_dtype() == np.int32
    out, err = capsys.readouterr()
    assert "0 of 3 scans up to date; 3 to compute: new" in err
    assert "3 of 3 scans done, 0 of them before" in out


def test_results_carry_the_users_columns(segmenter, study):
    write_csv(study, "subject,path,age", "s1,s1/a.nii.gz,31", "s2,s2/b_coarse.nii,", "s3,none.nii,57")
    assert dataset(study) == 1
    rows = read_tsv(study / "scans_synthseg_volumes.tsv")
    assert list(rows[0]) == ["subject", "path", "age", "synthseg_status", "total intracranial (mm3)", "csf (mm3)"]
    assert [(row["subject"], row["age"], row["synthseg_status"]) for row in rows] == [
        ("s1", "31", "done"),
        ("s2", "", "done"),
        ("s3", "57", "failed"),
    ]
    assert float(rows[0]["csf (mm3)"]) > 0
    assert rows[2]["csf (mm3)"] == "n/a"


def test_resume_skips_what_is_done_with_relative_paths_too(segmenter, study, monkeypatch, capsys):
    dataset(study)
    computed(segmenter)
    segmenter.loaded.clear()
    monkeypatch.chdir(study)
    assert main(["dataset", "--csv", "scans.csv"]) == 0
    assert computed(segmenter) == []
    assert segmenter.loaded == []
    out, err = capsys.readouterr()
    assert "3 of 3 scans up to date\n" in err
    assert "3 of 3 scans done, 3 of them before" in out


def test_interrupted_runs_go_on_where_they_stopped(segmenter, study):
    segmenter.faults["c.npz"] = KeyboardInterrupt()
    assert dataset(study) == 130
    assert computed(segmenter) == ["a.nii.gz", "b_coarse.nii", "c.npz"]
    segmenter.faults.clear()
    assert dataset(study) == 0
    assert computed(segmenter) == ["c.npz"]


@pytest.mark.parametrize(
    "options", [["--robust"], ["--parc"], ["--fast"], ["--v1"], ["--crop", "64"], ["--ct"], ["--suffix_segm", "_seg"]]
)
def test_options_that_matter_are_computed_again(segmenter, study, options):
    dataset(study)
    computed(segmenter)
    assert dataset(study, *options) == 0
    assert len(computed(segmenter)) == 3


def test_options_that_do_not_matter_are_not(segmenter, study):
    dataset(study)
    computed(segmenter)
    assert dataset(study, "--threads", 2, "--cpu") == 0
    assert computed(segmenter) == []


def test_more_outputs_are_computed_once(segmenter, study):
    dataset(study)
    for options in (["--resample"], ["--resample", "--post"]):
        computed(segmenter)
        assert dataset(study, *options) == 0
        assert len(computed(segmenter)) == 3
        assert dataset(study, *options) == 0
        assert computed(segmenter) == []


def test_other_weights_are_computed_again(segmenter, study):
    dataset(study)
    computed(segmenter)
    segmenter.sha256 = "cd" * 32
    assert dataset(study) == 0
    assert len(computed(segmenter)) == 3


def test_only_a_deleted_output_or_a_changed_scan_is_computed_again(segmenter, study, capsys):
    dataset(study)
    computed(segmenter)
    (study / "s1/a_volumes.csv").unlink()
    write_nifti(study / "s2/b_coarse.nii", phantom(seed=9))
    assert dataset(study) == 0
    assert computed(segmenter) == ["a.nii.gz", "b_coarse.nii"]
    err = capsys.readouterr().err
    assert "1 of 3 scans up to date; 1 to compute: output missing or changed; 1 to compute: scan changed" in err


def test_data_sets_in_one_folder_do_not_share_their_record(segmenter, study):
    shutil.copy(study / "scans.csv", study / "others.csv")
    dataset(study)
    assert main(["dataset", "--csv", str(study / "others.csv"), "--suffix_segm", "_other"]) == 0
    computed(segmenter)
    assert dataset(study) == 0
    assert computed(segmenter) == []
    assert main(["dataset", "--csv", str(study / "others.csv"), "--suffix_segm", "_other"]) == 0


def test_rows_that_name_no_readable_scan_are_reported_before_the_run(segmenter, study, capsys):
    (study / "empty.nii.gz").touch()
    write_csv(study, "path,age", "s1/a.nii.gz", ",40", "none.nii.gz", "empty.nii.gz", "c.npz")
    assert dataset(study) == 1
    assert computed(segmenter) == ["a.nii.gz", "c.npz"]
    out, err = capsys.readouterr()
    assert "warning: " in err
    assert "left out: 1 row without a path; lines: 3" in err
    assert err.index("scans.csv: line 4: ") < err.index("scans.csv: line 5: ") < err.index("[1/2]")
    assert "2 of 4 scans failed" in err
    assert "2 of 4 scans done" in out
    failures = read_tsv(study / "scans_synthseg_failures.tsv")
    assert [(Path(row["scan"]).name, row["found"]) for row in failures] == [
        ("none.nii.gz", "no such file"),
        ("empty.nii.gz", "an empty file (0 bytes)"),
    ]


def test_a_bad_line_is_a_failure_of_its_own(segmenter, study, capsys):
    write_csv(study, "path;age", "s1/a.nii.gz;3", "c.npz;4;5", "c.npz;6")
    assert dataset(study) == 1
    assert computed(segmenter) == ["a.nii.gz", "c.npz"]
    out, err = capsys.readouterr()
    assert f"{study}/scans.csv: line 3: found 3 cells; expected 2, as in the header" in err
    assert "2 of 3 scans done" in out
    (failure,) = read_tsv(study / "scans_synthseg_failures.tsv")
    assert failure["scan"] == failure["subject"] == f"{study}/scans.csv: line 3"
    assert [row["age"] for row in read_tsv(study / "scans_synthseg_volumes.tsv")] == ["3", "6"]


def test_a_scan_that_fails_is_recorded_with_its_reason_and_tried_again(segmenter, study, capsys):
    segmenter.faults["a.nii.gz"] = RuntimeError("out of luck")
    assert dataset(study) == 1
    (failure,) = read_tsv(study / "scans_synthseg_failures.tsv")
    assert (failure["error"], failure["found"]) == ("RuntimeError", "out of luck")
    segmenter.faults.clear()
    computed(segmenter)
    assert dataset(study) == 0
    assert computed(segmenter) == ["a.nii.gz"]
    assert not (study / "scans_synthseg_failures.tsv").exists()


def test_an_unwritable_folder_costs_its_own_scan_only(segmenter, capsys):
    with ordinary_user() as folder:
        write_nifti(folder / "open/a.nii", phantom())
        write_nifti(folder / "closed/b.nii", phantom())
        (folder / "closed").chmod(0o555)
        write_csv(folder, "path", "closed/b.nii", "open/a.nii")
        assert dataset(folder) == 1
        assert (folder / "open/a_segm.nii.gz").exists()
        (failure,) = read_tsv(folder / "scans_synthseg_failures.tsv")
        assert failure["error"] == "OutputError"
        assert computed(segmenter) == ["a.nii"]
        assert "line 2: " in capsys.readouterr().err
        # What is done needs no writing; and when nothing else is left to do, the fault is the run's.
        (folder / "open").chmod(0o555)
        assert dataset(folder) == 2
        assert "1 of 2 scans up to date" in capsys.readouterr().err
        assert dataset(folder, "--out", folder / "derived") == 0
        for name in ("open", "closed"):
            (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path", "s1/a.nii.gz", "c.npz", "s2/../s1/a.nii.gz"], "a.nii.gz in lines 2, 4"),
        (["path", "s1/a.nii.gz", "s1/a.nii"], "a.nii.gz and a.nii with the same outputs in lines 2, 3"),
        (["path", "s1/a.nii.gz", "s1/a_segm.nii.gz"], "an output of"),
        (["file", "s1/a.nii.gz"], "one column 'path'"),
        (["path"], "found no scan"),
        (["path", '""', "n/a"], "found no scan"),
        (["path,age", "a.nii,b,c"], "scans.csv: line 2: found 3 cells"),
        (["path", "nowhere/a.nii", "nowhere/b.nii"], "relative paths start at"),
    ],
)
def test_tables_that_cannot_be_right_are_refused_at_once(segmenter, study, capsys, lines, message):
    before = files(study)
    write_csv(study, *lines)
    assert dataset(study) == 2
    assert message in capsys.readouterr().err
    assert segmenter.loaded == []
    assert files(study) == before


def test_outputs_that_share_a_name_are_refused(segmenter, study, capsys):
    assert dataset(study, "--post", "--suffix_post", "_segm") == 2
    assert "one output file for" in capsys.readouterr().err


def test_a_folder_of_its_own_leaves_the_inputs_alone(segmenter, study, tmp_path):
    before = files(study)
    assert dataset(study, "--out", tmp_path / "derived") == 0
    assert files(study) == before
    assert files(tmp_path / "derived") == {
        *(f"{stem}{end}" for stem in ("s1/a", "s2/b_coarse", "c") for end in ("_segm.nii.gz", "_volumes.csv")),
        "scans_synthseg_checkpoint.json",
        "scans_synthseg_volumes.tsv",
    }


def test_no_readable_scan_at_all(segmenter, study, capsys):
    write_csv(study, "path", '""', "none.nii", "c.nii")
    assert dataset(study) == 2
    expected = f"(in line 3, {study}/none.nii: no such file); expected at least one scan; check --path_column"
    assert f"found no readable scan {expected}" in capsys.readouterr().err


def test_records_and_failures_go_where_the_user_says(segmenter, study, tmp_path):
    write_csv(study, "path", "c.npz", "none.nii")
    places = ["--checkpoint", tmp_path / "done.json", "--failures", tmp_path / "bad.tsv"]
    assert dataset(study, *places) == 1
    assert len(json.loads((tmp_path / "done.json").read_text())["scans"]) == 1
    assert len(read_tsv(tmp_path / "bad.tsv")) == 1


def test_ct_is_a_matter_of_the_row(segmenter, study):
    write_csv(study, "path,is_ct", "s1/a.nii.gz,yes", "c.npz,no", "s2/b_coarse.nii,")
    assert dataset(study, "--ct_column", "is_ct", "--ct") == 0
    assert {name: flags.ct for name, flags, _ in segmenter.computed} == {
        "a.nii.gz": True,
        "c.npz": False,
        "b_coarse.nii": True,
    }
    computed(segmenter)
    write_csv(study, "path,is_ct", "s1/a.nii.gz,yes", "c.npz,yes", "s2/b_coarse.nii,")
    assert dataset(study, "--ct_column", "is_ct", "--ct") == 0
    assert computed(segmenter) == ["c.npz"]


def test_the_reference_checkpoint_is_refused_not_overwritten(segmenter, study, tmp_path, capsys):
    old = tmp_path / "synthseg_checkpoint.json"
    old.write_text('{"processed_images": []}')
    assert dataset(study, "--checkpoint", old) == 2
    assert "without options and inputs" in capsys.readouterr().err
    assert old.read_text() == '{"processed_images": []}'


def test_results_of_an_older_version_are_pointed_out(segmenter, study, capsys):
    dataset(study)
    record = study / "scans_synthseg_checkpoint.json"
    content = json.loads(record.read_text())
    for entry in content["scans"].values():
        entry["version"] = "0.0.1"
    record.write_text(json.dumps(content))
    assert dataset(study) == 0
    assert "warning: some were made by version 0.0.1" in capsys.readouterr().err
