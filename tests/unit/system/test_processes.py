"""Whether processes are alive, and that they end with their parent."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from synthseg_core.system.processes import in_order, is_alive


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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells")
def test_process_ends_with_its_parent():
    code = (
        "import subprocess, sys; from synthseg_core.system.processes import end_with_parent;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], preexec_fn=end_with_parent());"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    assert psutil.wait_procs([child], timeout=20)[1] == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_of_several_processes_come_in_order(jobs):
    seen = []
    calls = [(10, number) for number in range(9)]
    made = in_order(divmod, calls[::-1][:-1], jobs=jobs, progress=lambda done, total: seen.append((done, total)))
    assert list(made) == [divmod(10, number) for number in range(8, 0, -1)]
    assert seen == [(number, 8) for number in range(1, 9)]
    with pytest.raises(ZeroDivisionError):
        list(in_order(divmod, calls, jobs=jobs))
