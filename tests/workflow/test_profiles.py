"""Snakemake accepts every shipped profile."""

import sys

import pytest

from tests.phantoms.trees import make_tree
from tests.workflow.runs import REPOSITORY, app, planned, run

PROFILES = [path.parent.name for path in (REPOSITORY / "profiles").glob("*/config.yaml")]


@pytest.mark.parametrize("name", PROFILES)
def test_plan_with_a_shipped_profile(tmp_path, name):
    make_tree(tmp_path / "bids", ["sub-01/anat/sub-01_T1w.nii", "sub-02/anat/sub-02_T1w.nii"])
    command = app(tmp_path / "bids", tmp_path / "out", "--skip-bids-validation", "--profile", name, "--dry-run")
    done = run(command, tmp_path, PATH=f"{sys.prefix}/bin:/usr/bin:/bin")
    assert done.returncode == 0, done.stdout
    assert planned(done.stdout) == {"describe": 1, "segment": 2, "all": 1}
