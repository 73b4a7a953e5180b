"""Downloads and what surrounds them: the disk, proxies, other processes, and processes that end."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from synthseg_core.errors import OutputError
from synthseg_core.models.download import fetch
from tests.unit.models import loopback_server as server_side
from tests.unit.models.downloads import CONTENT, FAST, Listener, assert_clean, starts, weights
from tests.unit.models.loopback_server import serve

# The disk


def test_a_full_disk_is_one_line_before_the_download(server, target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, len(CONTENT) - 1))
    with pytest.raises(OutputError, match=r"net.h5: found no space left on device.*free some space"):
        fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST)
    assert not target.with_name("net.h5.part").exists()


def test_a_disk_that_fills_up_keeps_what_it_has(server, target, monkeypatch):
    """A file size limit stands in for the full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match="file too large"):
            fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not target.exists()
    fetch(weights(f"{server.url}/net.h5"), target, policy=FAST)
    assert_clean(target)
    assert starts(server)[1] is not None


def test_a_folder_that_cannot_be_made_is_one_line(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="found"):
        fetch(weights(server.put("net.h5", CONTENT)), tmp_path / "file" / "net.h5", policy=FAST)


def test_no_permission_is_one_line(server, target, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match="permission denied.*correct the permissions"):
        fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST)


def test_a_file_system_without_locks_is_said(server, target, monkeypatch):
    def no_locks(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    listener = Listener()
    monkeypatch.setattr("fcntl.flock", no_locks)
    fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST, watcher=listener)
    assert target.read_bytes() == CONTENT
    assert "has no file locks" in listener.notes[0]


def test_another_fault_of_the_lock_is_an_error(server, target, monkeypatch):
    def broken(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", broken)
    with pytest.raises(OutputError, match="input/output error"):
        fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST)


# Proxies


def test_the_proxy_variable_is_honoured(server, target, monkeypatch):
    server.files["http://weights.invalid/net.h5"] = CONTENT
    server.scripts["http://weights.invalid/net.h5"] = [serve]
    monkeypatch.setenv("http_proxy", server.url)
    fetch(weights("http://weights.invalid/net.h5"), target, policy=FAST)
    assert_clean(target)
    assert server.requests[0].path == "http://weights.invalid/net.h5"


def test_no_proxy_is_honoured(server, target, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST)
    assert_clean(target)


# Several processes, and processes that end


FETCH = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with SIGINT ignored
from synthseg_core.models.download import Watcher, fetch
from synthseg_core.models.http import Policy
from synthseg_core.models.card import WeightsFile
class Loud(Watcher):
    def note(self, line):
        print(line, flush=True)
    def progress(self, received, size):
        print("progress", received, flush=True)
url, size, sha256, target = sys.argv[1:]
policy = Policy(timeout_s=10, attempts=3, wait_s=0, progress_bytes=1)
print(fetch(WeightsFile("net.h5", int(size), sha256, (url,)), Path(target), policy=policy, watcher=Loud()).mirror)
"""


def start_fetch(url: str, target: Path) -> subprocess.Popen:
    digest = hashlib.sha256(CONTENT).hexdigest()
    command = [sys.executable, "-c", FETCH, url, str(len(CONTENT)), digest, str(target)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def test_two_processes_download_once(server, target):
    url = server.put("net.h5", CONTENT, server_side.trickling(20_000, 0.05))
    both = [start_fetch(url, target), start_fetch(url, target)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert_clean(target)
    assert len(server.requests) == 1
    assert sorted(output.splitlines()[-1] for output in outputs) == ["127.0.0.1", "None"]
    assert any("being fetched by another process" in output for output in outputs)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_ended_process_leaves_no_file_and_its_bytes_are_used(server, target, end):
    url = server.put("net.h5", CONTENT, server_side.trickling(20_000, 0.05), serve)
    process = start_fetch(url, target)
    for line in process.stdout:
        if line.startswith("progress") and int(line.split()[1]) >= 100_000:
            break
    process.send_signal(end)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert ("KeyboardInterrupt" in errors) == (end == signal.SIGINT)
    assert not target.exists()
    received = target.with_name("net.h5.part").stat().st_size
    assert 0 < received < len(CONTENT)
    fetch(weights(url), target, policy=FAST)
    assert_clean(target)
    assert starts(server) == [None, received]
