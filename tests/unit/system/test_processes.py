"""Whether processes are alive."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from synthseg_core.system.processes import is_alive


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_processes_of_others_are_alive(dead_pid):
    assert is_alive(1)
    assert is_alive(os.getpid())
    assert not is_alive(dead_pid)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells")
def test_processes_that_ended_unnoticed_are_not_alive():
    """As a killed worker is until Snakemake ends."""
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(process.pid)
