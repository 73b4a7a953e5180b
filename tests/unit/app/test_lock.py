"""The lock of an output folder: its owner, crashes, and a second run."""

import fcntl
import json
import os
import socket
import subprocess
import sys

import pytest

from synthseg_core.app.lock import run_lock
from synthseg_core.errors import UsageError


def test_lock_ends_clean(tmp_path):
    path = tmp_path / "work" / "run.json"
    for _ in range(2):
        with run_lock(path) as lock:
            assert not lock.after_crash
            assert json.loads(path.read_text())["pid"] == str(os.getpid())
        assert path.read_text() == ""


def test_lock_after_an_exception_is_clean(tmp_path):
    with pytest.raises(KeyError), run_lock(tmp_path / "run.json"):
        raise KeyError
    assert (tmp_path / "run.json").read_text() == ""


def test_second_run_is_refused_with_the_owner(tmp_path):
    path = tmp_path / "run.json"
    with run_lock(path), pytest.raises(UsageError, match=f"a run by process {os.getpid()} on"), run_lock(path):
        pass


def record(pid, host=None):
    return json.dumps({"pid": str(pid), "host": host or socket.gethostname(), "started": "today"})


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_lock_after_a_kill(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(record(dead_pid()))
    with run_lock(path) as lock:
        assert lock.after_crash


def test_lock_after_a_run_whose_snakemake_was_killed(tmp_path):
    path = tmp_path / "run.json"
    with run_lock(path) as lock:
        lock.cleared = lock.crashed = True
    with run_lock(path) as lock:
        assert lock.after_crash
        lock.cleared = True
    with run_lock(path) as lock:
        assert not lock.after_crash


def test_lock_recorded_by_another_computer(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(record(1, "elsewhere"))
    with pytest.raises(UsageError, match=r"on elsewhere since today.*--unlock"), run_lock(path):
        pass
    with run_lock(path, force=True) as lock:
        assert lock.after_crash


def test_lock_waits_for_what_a_killed_run_left_running(tmp_path, capsys):
    path = tmp_path / "run.json"
    path.write_text(record(dead_pid()))
    code = f"import fcntl, time; f = open({str(path)!r}); fcntl.flock(f, 2); print(flush=True); time.sleep(0.5)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with run_lock(path) as lock:
            assert holder.wait(1) == 0
            assert lock.after_crash
    assert "waiting for the jobs" in capsys.readouterr().out


def test_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UsageError, match="Operation not supported.*--work-dir"), run_lock(tmp_path / "run.json"):
        pass
