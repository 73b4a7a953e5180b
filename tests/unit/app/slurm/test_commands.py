"""Commands of SLURM: the environment of jobs, and a SLURM that does not answer."""

import os

import pytest

from synthseg_core.app.slurm.commands import live_jobs, slurm_environment
from synthseg_core.errors import UsageError


def test_environment_of_jobs_knows_no_allocation_around_it():
    given = {"PATH": "p", "SLURM_JOB_ID": "7", "SLURM_CONF": "c", "SQUEUE_USERS": "u", "SBATCH_PARTITION": "b"}
    assert slurm_environment(given) == {"PATH": "p", "SLURM_CONF": "c", "SBATCH_PARTITION": "b"}


def test_slurm_that_does_not_answer(tmp_path, monkeypatch):
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UsageError, match="squeue: found slurm_load_jobs error: Unable to contact"):
        live_jobs("x")
