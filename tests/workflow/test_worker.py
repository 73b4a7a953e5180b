"""Runs with the warm worker: its jobs, its end, and runs that go without it."""

import json
import os
from pathlib import Path

import psutil
import pytest

from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import contents, make_tree
from tests.workflow.runs import app, run

UNSTABLE = (".work", ".logs")
LOG = ".work/.snakemake/worker.log"


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bids")
    make_tree(folder, ["dataset_description.json"], b'{"Name": "x", "BIDSVersion": "1.11.1"}')
    make_tree(folder, ["sub-3/anat/sub-3_T1w.nii.gz"])  # not a scan
    for name in ("1", "2"):
        scan = phantom((2.0, 2.0, 2.5), shape=(17, 21, 15), seed=int(name))
        write_nifti(folder / f"sub-{name}/anat/sub-{name}_T1w.nii.gz", scan)
    return folder


def workers(log: Path) -> list[int]:
    """Processes that have this log open."""
    return [process.pid for process in psutil.process_iter() if str(log) in _open_files(process)]


def _open_files(process: psutil.Process) -> list[str]:
    try:
        return [file.path for file in process.open_files()] if process.pid != os.getpid() else []
    except psutil.Error:
        return []


def test_jobs_go_through_the_worker(bids, tmp_path):
    done = run(app(bids, tmp_path / "out"), tmp_path)
    assert done.returncode == 1, done.stdout
    reports = [json.loads(line) for line in (tmp_path / "out" / LOG).read_text().splitlines()]
    assert sorted(report["status"] for report in reports) == [0, 0, 2, 2]  # a failed job is tried once more
    assert workers(tmp_path / "out" / LOG) == []
    assert "an empty file" in (tmp_path / "out/.logs/segment/sub-3/anat/sub-3_space-T1w.json").read_text()


@pytest.mark.slow
def test_run_with_the_worker_gives_the_files_of_a_run_without(bids, tmp_path):
    for words in (["with"], ["without", "--no-worker"]):
        assert run(app(bids, tmp_path / words[0], *words[1:]), tmp_path).returncode == 1
    assert (tmp_path / "with" / LOG).exists()
    assert not (tmp_path / "without" / LOG).exists()
    made, expected = (contents(tmp_path / name, without=UNSTABLE) for name in ("with", "without"))
    assert made == expected
    assert "sub-2/anat/sub-2_space-T1w_seg-synthseg_dseg.nii.gz" in made
    said, expected = (contents(tmp_path / name / ".logs/segment") for name in ("with", "without"))
    assert said == {name: text.replace(b"/without/", b"/with/") for name, text in expected.items()}


@pytest.mark.slow
def test_worker_is_not_started_for_nothing(bids, tmp_path):
    for words in (["--dry-run"], ["--participant-label", "1"]):
        assert run(app(bids, tmp_path / "out", *words), tmp_path).returncode == 0
    assert not (tmp_path / "out" / LOG).exists()
