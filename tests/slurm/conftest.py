"""A real SLURM for the tests that are marked ``slurm``."""

from __future__ import annotations

import sys

import pytest

from tests.slurm.cluster import absent_programs, running_cluster


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory):
    """One SLURM for all tests of a session."""
    if sys.platform != "linux":
        pytest.skip("SLURM runs on Linux")
    if absent := absent_programs():
        pytest.skip(f"no {', '.join(absent)} here; on Debian: apt-get install slurm-wlm munge")
    folder = tmp_path_factory.mktemp("slurm")
    try:
        running = running_cluster(folder)
        cluster = running.__enter__()
    except TimeoutError as error:
        logs = "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in sorted(folder.glob("*.out")))
        pytest.fail(f"SLURM does not start: {error}\n{logs}")
    yield cluster
    running.__exit__(None, None, None)


@pytest.fixture
def cluster(session_cluster):
    """The SLURM, without jobs of other tests."""
    session_cluster.cancel_all()
    return session_cluster
