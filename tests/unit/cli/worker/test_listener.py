"""The socket of a worker: one listener, and its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from synthseg_core.cli.worker.listener import is_answered, socket_path
from tests.phantoms.trees import contents
from tests.unit.cli.worker.worker_process import (
    ENVIRONMENT,
    PROGRAM,
    held_up,
    run,
    wait_for,
    worker,
)

ALONE = "the command runs in a process of its own"


def test_killed_worker_leaves_the_job_to_the_client(home, copy, expected):
    with (
        worker(home / "killed.sock") as process,
        held_up(home / "killed.sock", copy) as (client, said),
    ):
        process.kill()
        text = said.read().lstrip(b".").decode()
        assert client.wait(60) == 0
    assert text.replace(str(copy), "FOLDER") == f"synthseg: note: the worker died; {ALONE}\n{expected[1]}"
    made = contents(copy)
    assert {name: made[name] for name in expected[0]} == expected[0]
    # The dead worker's socket is in nobody's way.
    assert not is_answered(home / "killed.sock")
    with worker(home / "killed.sock") as process:
        assert is_answered(home / "killed.sock")
        assert process.poll() is None


def test_worker_ends_with_its_parent(home):
    socket = home / "orphan.sock"
    code = (
        "import os, subprocess, sys, time;"
        f"worker = subprocess.Popen([*{PROGRAM}, 'serve', {str(socket)!r}, '--parent', str(os.getpid())]);"
        "print(worker.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as parent:
        process = psutil.Process(int(parent.stdout.readline()))
        wait_for(lambda: is_answered(socket))
        parent.kill()
    wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    assert not socket.exists()


def test_second_worker_at_a_live_socket_refuses(shared, home):
    done = run([*PROGRAM, "serve", str(shared)], home)
    assert done.returncode == 2
    assert "a worker that listens there" in done.stderr
    assert is_answered(shared)


def test_address_of_a_long_work_folder_is_short_and_private(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("long" * 40)))
    monkeypatch.setattr(tempfile, "tempdir", None)
    work = tmp_path / ("deep/" * 60)
    address = socket_path(work)
    assert len(os.fsencode(address)) <= 103
    assert address.parent.stat().st_mode & 0o777 == 0o700
    assert address == socket_path(work)
    assert address != socket_path(work / "other")


def test_folder_that_others_can_open_is_not_used(tmp_path, monkeypatch):
    base = Path(tempfile.mkdtemp(prefix="s-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    assert socket_path(tmp_path).parent.parent == base
    socket_path(tmp_path).parent.chmod(0o755)
    assert socket_path(tmp_path).parent.parent != base
    shutil.rmtree(base)
