"""Runs of the front door from end to end, with the tiny random model and phantoms of a few thousand voxels."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from synthseg_core.images.reading import read_scan
from synthseg_core.system.tables import read_tsv
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import contents, make_tree
from tests.workflow.runs import ENVIRONMENT, app, planned, run, snakemake

UNSTABLE = (".work", ".logs")  # times and host facts


def write_scans(root, *paths):
    make_tree(root, ["dataset_description.json"], b'{"Name": "x", "BIDSVersion": "1.11.1"}')
    for seed, path in enumerate(paths):
        write_nifti(root / path, phantom((2.0, 2.0, 2.5), shape=(17, 21, 15), seed=seed))
    return root


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A finished run over two good scans, an empty file, a broken link and a misnamed file."""
    folder = tmp_path_factory.mktemp("mixed run")
    bids = write_scans(folder / "bids", "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_FLAIR.nii")
    make_tree(bids, ["sub-02/anat/sub-02_T1w.nii.gz", "sub-01/anat/sub-01_T1w_old.nii.gz", "sub-03/anat/"])
    (bids / "sub-03/anat/sub-03_T1w.nii.gz").symlink_to("gone")
    done = run(app(bids, folder / "out"), folder)
    return bids, folder / "out", done


def test_good_scans_are_segmented_whatever_happens_to_others(mixed):
    bids, out, done = mixed
    assert done.returncode == 1, done.stdout
    assert "2 done, 2 failed, 1 skipped" in done.stdout
    for suffix, extension in (("T1w", ".nii.gz"), ("FLAIR", ".nii")):
        scan = read_scan(bids / f"sub-01/anat/sub-01_{suffix}{extension}").volume
        labels = read_scan(out / f"sub-01/anat/sub-01_space-{suffix}_seg-synthseg_dseg.nii.gz").volume
        assert labels.shape == scan.shape
        assert (labels.affine == scan.affine).all()
        assert set(labels.data.ravel()) <= {0, 2, 24, 41}
        assert len(set(labels.data.ravel())) > 1


def test_failures_are_listed_with_their_reasons(mixed):
    _, out, done = mixed
    table = {row["path"].rpartition("/")[2]: row for row in read_tsv(out / "group_scans.tsv")}
    assert {name: row["status"] for name, row in table.items()} == {
        "sub-01_FLAIR.nii": "done",
        "sub-01_T1w.nii.gz": "done",
        "sub-01_T1w_old.nii.gz": "skipped",
        "sub-02_T1w.nii.gz": "failed",
        "sub-03_T1w.nii.gz": "failed",
    }
    assert "an empty file (0 bytes)" in table["sub-02_T1w.nii.gz"]["reason"]
    assert "a link to a file that is not there" in table["sub-03_T1w.nii.gz"]["reason"]
    assert (out / table["sub-02_T1w.nii.gz"]["log"]).is_file()
    assert table["sub-02_T1w.nii.gz"]["reason"] in done.stdout
    volumes = read_tsv(out / "group_seg-synthseg_volumes.tsv")
    assert [row["suffix"] for row in volumes] == ["FLAIR", "T1w"]


def test_sidecar_names_source_and_model(mixed):
    _, out, _ = mixed
    sidecar = json.loads((out / "sub-01/anat/sub-01_space-T1w_seg-synthseg_dseg.json").read_text())
    assert sidecar["Sources"] == ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]
    assert sidecar["Model"]["Name"] == "tiny-random"
    assert json.loads((out / "dataset_description.json").read_text())["DatasetLinks"] == {"raw": "../bids"}


def test_bids_validator_finds_no_error(mixed):
    _, out, _ = mixed
    done = run([Path(sys.executable).parent / "bids-validator-deno", out, "--format", "json"], out)
    issues = json.loads(done.stdout[done.stdout.index("{") :])["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    assert done.returncode == 0


def test_plain_snakemake_plans_the_same_and_only_what_is_left(mixed):
    bids, out, _ = mixed
    config = {"input": str(bids), "output": str(out), "segment": {"model": "tiny-random"}}
    (out / ".work").mkdir(exist_ok=True)
    plan = planned(snakemake(out / ".work", config, "--dry-run").stdout)
    assert plan == {"segment": 1, "all": 1}
    (out / "sub-01/anat/sub-01_space-T1w_seg-synthseg_volumes.tsv").rename(bids / "kept")
    plan = planned(snakemake(out / ".work", config, "--dry-run").stdout)
    (bids / "kept").rename(out / "sub-01/anat/sub-01_space-T1w_seg-synthseg_volumes.tsv")
    assert plan == {"segment": 2, "all": 1}


def test_repaired_scan_is_the_only_one_that_is_made(mixed, tmp_path):
    """The last test of this run: it repairs the dataset."""
    bids, out, _ = mixed
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*dseg.nii.gz")}
    write_scans(bids, "sub-02/anat/sub-02_T1w.nii.gz")
    (bids / "sub-03/anat/sub-03_T1w.nii.gz").unlink()
    (bids / "sub-03/anat").rmdir()
    (bids / "sub-03").rmdir()
    (bids / "sub-01/anat/sub-01_T1w_old.nii.gz").unlink()
    done = run(app(bids, out), tmp_path)
    assert done.returncode == 0, done.stdout
    assert planned(done.stdout) == {"segment": 1, "all": 1}
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())
    assert not (out / ".logs/segment/sub-02/anat/sub-02_space-T1w.json").exists()
    again = run(app(bids, out), tmp_path)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout


def test_only_scan_with_a_known_error(tmp_path):
    bids = make_tree(tmp_path / "bids", ["sub-1/anat/sub-1_T1w.nii.gz"])
    done = run(app(bids, tmp_path / "out", "--participant-label", "1"), tmp_path)
    assert done.returncode == 2, done.stdout
    assert "an empty file" in done.stdout
    assert not (tmp_path / "out" / "group_scans.tsv").exists()


def test_plain_folder_with_odd_names(tmp_path):
    odd = "it's $HOME/a [b]*%20 'c'.nii.gz"
    write_nifti(tmp_path / "in" / odd, phantom(shape=(13, 11, 15)))
    done = run(app(tmp_path / "in", tmp_path / "in" / "out put"), tmp_path)
    assert done.returncode == 0, done.stdout
    sidecar = tmp_path / "in/out put/sub-itsHOMEab20c/anat/sub-itsHOMEab20c_space-orig_seg-synthseg_dseg.json"
    assert json.loads(sidecar.read_text())["Sources"] == [
        "bids:raw:it%27s%20%24HOME/a%20%5Bb%5D%2A%2520%20%27c%27.nii.gz"
    ]
    assert len(read_tsv(tmp_path / "in/out put/.work/scans.tsv")) == 1


# Interrupted runs

PATHS = ("sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    bids = write_scans(folder / "bids", *PATHS)
    done = run(app(bids, folder / "out"), folder)
    assert done.returncode == 0, done.stdout
    return bids, contents(folder / "out", without=UNSTABLE)


def interrupt(process):
    process.send_signal(signal.SIGINT)


def terminate(process):
    process.send_signal(signal.SIGTERM)


def kill(process):
    process.kill()


def kill_all(process):
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.kill()


@pytest.mark.parametrize(
    ("stop", "status"),
    [
        pytest.param(interrupt, 130, marks=pytest.mark.slow),
        pytest.param(terminate, 130, marks=pytest.mark.slow),
        pytest.param(kill, -signal.SIGKILL, marks=pytest.mark.slow),
        (kill_all, -signal.SIGKILL),
    ],
)
def test_stopped_run_continues_to_the_same_bytes(uninterrupted, tmp_path, stop, status):
    original, expected = uninterrupted
    bids = tmp_path / "bids"
    shutil.copytree(original, bids)
    out = tmp_path / "out"
    with subprocess.Popen(app(bids, out), cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
        wait_for_second_job(out, process)
        stop(process)
        assert process.wait(120) == status
    done = run(app(bids, out), tmp_path)
    assert done.returncode == 0, done.stdout
    assert "2 done" in done.stdout
    assert planned(done.stdout).get("segment", 0) <= 1  # the scan that was done is not made again
    assert contents(out, without=UNSTABLE) == expected


def wait_for_second_job(out, process):
    """Return when one scan is done and the other one has begun."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        begun = len(list((out / ".logs").rglob("sub-*.log")))
        finished = len(list(out.rglob("sub-*_volumes.tsv")))
        if begun == 2 and finished == 1:
            time.sleep(0.5)
            return
        time.sleep(0.02)
    pytest.fail(f"the run ended or hung before its second scan: {process.poll()}")
