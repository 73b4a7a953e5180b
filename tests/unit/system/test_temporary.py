"""What killed processes leave behind is removed, and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthseg_core.system import atomic
from synthseg_core.system.atomic import remove_abandoned, temporary_name, write_text

_TWO_DAYS_S = 2 * 24 * 3600


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def _left(folder: Path, system: str, pid: int, age_s: float = 0) -> Path:
    path = folder / f".tmp-{system}-{pid}-0a1b2c3d.nii.gz"
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def _own(folder: Path) -> str:
    return temporary_name(folder / "x").name.split("-")[1]


@pytest.mark.parametrize("name", ["a.nii.gz", "a.b.tsv", "a", "a.NII.GZ"])
def test_names_are_recognised_and_fresh(tmp_path, name):
    first, second = temporary_name(tmp_path / name), temporary_name(tmp_path / name)
    assert first != second
    assert first.parent == tmp_path
    match = atomic._PATTERN.match(first.name)
    assert match is not None
    assert int(match[2]) == os.getpid()


def test_another_process_of_this_computer_has_the_same_system():
    code = "from synthseg_core.system.atomic import _this_system; print(_this_system())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == atomic._this_system()


def test_without_proc_the_name_of_the_computer_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(atomic, "_BOOT", tmp_path / "nothing")
    monkeypatch.setattr("socket.gethostname", lambda: "one")
    one = atomic._this_system.__wrapped__()
    monkeypatch.setattr("socket.gethostname", lambda: "two")
    assert one != atomic._this_system.__wrapped__()
    assert len(one) == 8


def test_a_file_of_a_dead_process_is_removed(tmp_path, dead_pid):
    path = _left(tmp_path, _own(tmp_path), dead_pid)
    remove_abandoned(tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("age_s", [0, _TWO_DAYS_S])
def test_a_file_of_a_living_process_stays(tmp_path, age_s):
    path = _left(tmp_path, _own(tmp_path), os.getppid(), age_s)
    remove_abandoned(tmp_path)
    assert path.exists()


@pytest.mark.parametrize(("age_s", "stays"), [(0, True), (23 * 3600, True), (_TWO_DAYS_S, False)])
def test_a_file_of_another_computer_stays_for_a_day(tmp_path, dead_pid, age_s, stays):
    """Its process number says nothing here, whether a process of ours has it or not."""
    paths = [_left(tmp_path, "00000000", pid, age_s) for pid in (dead_pid, os.getpid())]
    remove_abandoned(tmp_path)
    assert [path.exists() for path in paths] == [stays, stays]


@pytest.mark.parametrize("name", [".tmp-x", ".tmp-1234-abcd.nii.gz", "scan.nii.gz", ".tmp-zzzzzzzz-1-0a.nii", ".tmp"])
def test_other_files_stay(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    os.utime(tmp_path / name, (0, 0))
    remove_abandoned(tmp_path)
    assert (tmp_path / name).exists()


def test_a_folder_that_cannot_be_read_is_left_alone(tmp_path):
    remove_abandoned(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    remove_abandoned(tmp_path / "file")


def test_what_cannot_be_removed_stays_and_the_rest_goes(tmp_path, dead_pid, monkeypatch):
    folder = tmp_path / f".tmp-{_own(tmp_path)}-{dead_pid}-00.nii"
    folder.mkdir()
    path = _left(tmp_path, _own(tmp_path), dead_pid)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", _refused)
        remove_abandoned(tmp_path)
    assert folder.is_dir()
    assert not path.exists()
    remove_abandoned(tmp_path)
    assert not folder.exists()


def _refused(path: Path) -> None:
    raise PermissionError(path)


def test_the_next_writer_to_the_folder_clears_after_a_killed_one(tmp_path):
    code = (
        "import sys; from pathlib import Path; from synthseg_core.system.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as path:\n"
        "    path.write_text('half'); print(flush=True); sys.stdin.read()"
    )
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "a.txt"], **streams) as process:
        process.stdout.readline()
        assert len(list(tmp_path.glob(".tmp-*"))) == 1
        process.send_signal(signal.SIGKILL)
    write_text(tmp_path / "b.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]
