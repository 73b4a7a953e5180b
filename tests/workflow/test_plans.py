"""What Snakemake plans for trees of empty files: no scan is read."""

import re
import shutil
import sys

import pytest

from synthseg_core.app.configuration import checked
from synthseg_core.app.plan import Plan
from synthseg_core.models.families import FAMILIES
from synthseg_core.models.nnunet_import import import_nnunet
from tests.phantoms.nnunet import TrainedFolder
from tests.phantoms.trees import OWN, make_tree
from tests.workflow.runs import REPOSITORY, planned, run, snakemake

TREES = {
    "single session, two contrasts": (["sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_FLAIR.nii.gz"], 2),
    "sessions, runs, mixed with none": (
        [
            "sub-01/ses-a/anat/sub-01_ses-a_run-1_T1w.nii.gz",
            "sub-01/ses-a/anat/sub-01_ses-a_run-2_T1w.nii.gz",
            "sub-02/anat/sub-02_acq-x_T2w.nii",
            "sub-03/func/sub-03_task-rest_bold.nii.gz",
        ],
        3,
    ),
    "plain folder with odd names": (["it's $HOME/a [b] 'c'.nii.gz", "d e.mgz", "é*?1.nii", "{f}.nii"], 3),
    "one bad name among good ones": (["sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_T1w_x.nii"], 1),
}


def config(tmp_path, **values):
    segment = {"model": "tiny-random", **values.pop("segment", {})}
    return {"input": str(tmp_path / "in"), "output": str(tmp_path / "out put"), "segment": segment, **values}


@pytest.mark.parametrize("name", TREES)
def test_one_job_a_scan(tmp_path, name):
    paths, scans = TREES[name]
    make_tree(tmp_path / "in", paths)
    done = snakemake(tmp_path, config(tmp_path), "--dry-run")
    assert done.returncode == 0, done.stdout
    assert planned(done.stdout) == {"describe": 1, "segment": scans, "all": 1}


def test_selection(tmp_path):
    make_tree(tmp_path / "in", [f"sub-0{n}/anat/sub-0{n}_T1w.nii" for n in range(4)])
    done = snakemake(tmp_path, config(tmp_path, participants=["01", "03"]), "--dry-run")
    assert planned(done.stdout) == {"describe": 1, "segment": 2, "all": 1}


def test_group_is_no_part_of_all_and_needs_no_scans(tmp_path):
    make_tree(tmp_path / "in", ["sub-01/anat/sub-01_T1w.nii"])
    snakemake(tmp_path, config(tmp_path), "--dry-run")
    shutil.rmtree(tmp_path / "in")
    done = snakemake(tmp_path, config(tmp_path, segment={"weights": "/gone"}), "group")
    assert done.returncode == 0, done.stdout
    assert "not run yet" in (tmp_path / "out put" / "group_scans.tsv").read_text()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"typo": 1}, "'typo' was unexpected"),
        ({"segment": {"weights": "/gone"}}, "no weights in /gone"),
        ({"segment": {"model": "synthseg-qc-2.0"}}, "a model for quality"),
        ({"participants": ["77"]}, "no usable scan; no sub-77"),
    ],
)
def test_faults_are_known_before_the_first_job(tmp_path, values, message):
    make_tree(tmp_path / "in", ["sub-01/anat/sub-01_T1w.nii"])
    done = snakemake(tmp_path, config(tmp_path, **values))
    assert done.returncode == 1
    assert message in done.stdout
    assert not (tmp_path / "out put" / "sub-01").exists()


def test_dry_run_shows_what_other_settings_would_remake_and_changes_nothing(tmp_path):
    make_tree(tmp_path / "in", ["sub-01/anat/sub-01_T1w.nii"])
    snakemake(tmp_path, config(tmp_path), "--dry-run")
    make_tree(tmp_path, Plan.from_config(checked(config(tmp_path))).all_files(), OWN)
    assert planned(snakemake(tmp_path, config(tmp_path), "--dry-run").stdout) == {}
    other = config(tmp_path, segment={"fast": True})
    assert planned(snakemake(tmp_path, other, "--dry-run").stdout) == {"segment": 1, "all": 1}
    assert planned(snakemake(tmp_path, config(tmp_path), "--dry-run").stdout) == {}


def test_jobs_ask_for_time_and_memory_by_their_model(tmp_path):
    card = import_nnunet(TrainedFolder(folds=("0", "1", "2")).write(tmp_path / "tissue"), tmp_path / "store")
    make_tree(tmp_path / "in", ["sub-01/anat/sub-01_T1w.nii.gz"])
    model, asked = {"model": str(card)}, {}
    wanted = {"tiny": {}, "all": model, "two": {**model, "folds": [0, 2]}}
    for name, segment in wanted.items():
        done = snakemake(tmp_path, config(tmp_path, segment=segment), "--dry-run", "--quiet", "host")
        assert done.returncode == 0, done.stdout
        (line,) = [line for line in done.stdout.splitlines() if "resources:" in line and "attempt=" in line]
        asked[name] = [int(re.search(rf"{key}=(\d+)", line)[1]) for key in ("mem_mb", "runtime")]
    family = FAMILIES["nnunet-resenc"]
    assert asked["tiny"] == [8000, 60]
    assert asked["all"] == [family.job_mem_mb, 3 * family.job_minutes]
    assert asked["two"] == [family.job_mem_mb, 2 * family.job_minutes]


def test_lint():
    done = run([sys.executable, "-m", "snakemake", "--lint"], REPOSITORY)
    assert "in a good condition" in done.stdout, done.stdout
