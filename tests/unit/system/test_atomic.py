"""A final name never holds half a result."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthseg_core.errors import InputError, OutputError
from synthseg_core.system.atomic import atomic_path, check_writable, write_bytes, write_json, write_text
from tests.privileges import ordinary_user


def test_content_arrives_and_nothing_else_stays(tmp_path):
    final = tmp_path / "new" / "folder" / "x.tsv"
    write_text(final, "a\tb\r\nä\n")
    assert final.read_bytes() == "a\tb\r\nä\n".encode()
    assert list(final.parent.iterdir()) == [final]


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.nii.gz", ".nii.gz"), ("a.b.tsv", ".tsv"), ("sub-01.x.nii.gz", ".nii.gz")]
)
def test_temporary_name_keeps_the_suffixes_and_the_folder(tmp_path, name, suffix):
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(suffix)
        assert temporary.name.startswith(".tmp-")
        temporary.write_bytes(b"x")
    assert (tmp_path / name).read_bytes() == b"x"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_exception_leaves_the_old_file(tmp_path, error):
    final = tmp_path / "x.txt"
    final.write_text("old")

    def write_half():
        with atomic_path(final) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert final.read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


def test_known_errors_pass_through(tmp_path):
    with pytest.raises(InputError), atomic_path(tmp_path / "x.txt"):
        raise InputError("scan", found="a", expected="b", remedy="c")


def test_json_keeps_order_and_refuses_nan(tmp_path):
    write_json(tmp_path / "x.json", {"b": 1, "a": "µ"})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "µ"\n}\n'
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert json.loads((tmp_path / "x.json").read_text()) == {"b": 1, "a": "µ"}


def test_new_files_have_the_permissions_of_new_files(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_bytes(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_parent_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/x.txt: found (file exists|not a directory); .*holds no file"):
        write_text(tmp_path / "file" / "x.txt", "")


def test_final_name_that_is_a_folder(tmp_path):
    (tmp_path / "x.txt" / "inside").mkdir(parents=True)
    with pytest.raises(OutputError, match="give a file name, not a folder"):
        write_text(tmp_path / "x.txt", "")
    assert (tmp_path / "x.txt" / "inside").is_dir()


def _fail_to_flush(monkeypatch, reason, folders):
    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == folders:
            raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("reason", [errno.EINVAL, errno.ENOTSUP, errno.EIO, errno.EACCES])
def test_folder_that_cannot_be_flushed_costs_nothing(tmp_path, monkeypatch, reason):
    _fail_to_flush(monkeypatch, reason, folders=True)
    write_text(tmp_path / "x.txt", "all")
    assert (tmp_path / "x.txt").read_text() == "all"
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_folder_that_cannot_be_listed_takes_files():
    with ordinary_user() as folder:
        folder.chmod(0o333)
        write_text(folder / "x.txt", "all")
        folder.chmod(0o755)
        assert (folder / "x.txt").read_text() == "all"


def test_file_system_without_flush(tmp_path, monkeypatch):
    _fail_to_flush(monkeypatch, errno.EINVAL, folders=False)
    write_text(tmp_path / "x.txt", "all")
    assert (tmp_path / "x.txt").read_text() == "all"


@pytest.mark.parametrize("reason", [errno.EIO, errno.ENOSPC])
def test_file_that_does_not_reach_the_disk_is_an_error(tmp_path, monkeypatch, reason):
    _fail_to_flush(monkeypatch, reason, folders=False)
    with pytest.raises(OutputError, match="x.txt: found "):
        write_text(tmp_path / "x.txt", "all")
    assert list(tmp_path.iterdir()) == []


def test_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="a device or pipe"):
        write_text(tmp_path / "pipe", "")
    assert (tmp_path / "pipe").is_fifo()


def test_name_that_is_too_long(tmp_path):
    with pytest.raises(OutputError, match="choose a shorter name"):
        write_text(tmp_path / ("x" * 300), "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_disk_full(tmp_path):
    with (
        pytest.raises(OutputError, match="no space left on device; .*free some space") as caught,
        atomic_path(tmp_path / "x"),
    ):
        Path("/dev/full").write_bytes(b"x" * 100_000)
    assert isinstance(caught.value.__cause__, OSError)
    assert list(tmp_path.iterdir()) == []


def test_file_size_limit(tmp_path):
    code = """
import resource, sys
from pathlib import Path
from synthseg_core.system.atomic import write_bytes
from synthseg_core.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_bytes(Path(sys.argv[1]), bytes(5000))
except OutputError as error:
    print(error.remedy)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "x"], capture_output=True, text=True, check=True)
    assert "ulimit" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_folder_without_write_permission():
    with ordinary_user() as folder:
        folder.chmod(0o555)
        with pytest.raises(OutputError, match="permission denied; .*correct the permissions"):
            write_text(folder / "x.txt", "")


def test_block_that_writes_nothing(tmp_path):
    with pytest.raises(OutputError, match="no such file"), atomic_path(tmp_path / "x"):
        pass


def test_kill_leaves_no_final_name(tmp_path):
    code = """
import sys, time
from pathlib import Path
from synthseg_core.system.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "x.txt"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    assert not (tmp_path / "x.txt").exists()


def test_what_can_be_written_is_told_beforehand_without_a_trace(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    for name in ("old.txt", "new.txt", "a/b/c.txt"):
        check_writable(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]


@pytest.mark.parametrize(("name", "found"), [("folder", "a folder of that name"), ("file/x.txt", "not a directory")])
def test_what_cannot_be_written_is_told_beforehand(tmp_path, name, found):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=f"{name}: found {found}"):
        check_writable(tmp_path / name)


def test_closed_folders_and_devices_are_told_beforehand():
    with ordinary_user() as folder:
        (folder / "closed").mkdir(mode=0o500)
        for path in (folder / "closed" / "x.txt", folder / "closed" / "new" / "x.txt"):
            with pytest.raises(OutputError, match="permission denied; .*correct the permissions"):
                check_writable(path)
    with pytest.raises(OutputError, match="a device or pipe"):
        check_writable(Path("/dev/null"))
