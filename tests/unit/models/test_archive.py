"""Archives from the network: what is unpacked, and a corpus of hostile ones of which nothing may remain."""

from __future__ import annotations

import io
import signal
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from synthseg_core.errors import InputError
from synthseg_core.models import archive as module
from synthseg_core.models.archive import model_folder, unpacked

GOOD = {"model/plans.json": b"{}", "model/fold_0/checkpoint_final.pth": bytes(range(256)) * 40}
Add = Callable[[tarfile.TarFile], None]


def _tar(path: Path, files: dict[str, bytes], *more: Add, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o4777
            tar.addfile(info, io.BytesIO(content))
        for add in more:
            add(tar)
    return path


def _zip(path: Path, files: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, 0) << 16
            zipped.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def _special(kind: bytes, name: str = "model/x", target: str = "") -> Add:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        tar.addfile(info)

    return add


def _content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("make", [_tar, _zip, lambda p, f: _tar(p, f, mode="w"), lambda p, f: _tar(p, f, mode="w:xz")])
def test_plain_archives(tmp_path, make):
    """By content, not by name; no rights are taken over; nothing stays."""
    archive = make(tmp_path / "archive.bin", GOOD)
    with unpacked(archive, tmp_path / "store") as folder:
        assert _content(folder) == GOOD
        assert model_folder(folder) == folder / "model"
        assert stat.S_IMODE((folder / "model" / "plans.json").stat().st_mode) & 0o7111 == 0
    assert not list((tmp_path / "store").iterdir())


HOSTILE: dict[str, Callable[[Path], Path]] = {
    "absolute": lambda p: _tar(p, {**GOOD, "/tmp/synthseg-escaped": b"x"}),
    "parent": lambda p: _tar(p, {**GOOD, "model/../../escaped": b"x"}),
    "parent first": lambda p: _tar(p, {"../escaped": b"x", **GOOD}),
    "backslash": lambda p: _tar(p, {"..\\escaped": b"x"}),
    "drive": lambda p: _tar(p, {"C:/escaped": b"x"}),
    "control character": lambda p: _tar(p, {"model/a\nb": b"x"}),
    "empty name": lambda p: _tar(p, {".": b"x"}),
    "symbolic link": lambda p: _tar(p, GOOD, _special(tarfile.SYMTYPE, target="/etc/passwd")),
    "link to a folder, then a file in it": lambda p: _tar(
        p, {}, _special(tarfile.SYMTYPE, "model", ".."), lambda tar: tar.addfile(tarfile.TarInfo("model/escaped"))
    ),
    "hard link": lambda p: _tar(p, GOOD, _special(tarfile.LNKTYPE, target="model/plans.json")),
    "character device": lambda p: _tar(p, GOOD, _special(tarfile.CHRTYPE)),
    "block device": lambda p: _tar(p, GOOD, _special(tarfile.BLKTYPE)),
    "pipe": lambda p: _tar(p, GOOD, _special(tarfile.FIFOTYPE)),
    "twice": lambda p: _tar(p, {"model/a": b"first"}, lambda tar: tar.addfile(tarfile.TarInfo("model/./a"))),
    "zip absolute": lambda p: _zip(p, {"/escaped": b"x"}),
    "zip parent": lambda p: _zip(p, {"model/../../escaped": b"x"}),
    "zip link": lambda p: _zip(p, {**GOOD, "model/x": b"/etc/passwd"}, {"model/x": stat.S_IFLNK | 0o777}),
    "zip device": lambda p: _zip(p, {"model/x": b""}, {"model/x": stat.S_IFCHR}),
    "no archive": lambda p: (p.write_bytes(b"hello " * 100), p)[1],
    "empty": lambda p: (p.write_bytes(b""), p)[1],
    "cut tar": lambda p: _cut(_tar(p, GOOD), 0.6),
    "cut zip": lambda p: _cut(_zip(p, GOOD), 0.6),
    "tar with a wrong checksum": lambda p: _damaged(_tar(p, GOOD), -6),
    "zip with a wrong checksum": lambda p: _damaged(_zip(p, {"a": bytes(5000)}), 40),
}


def _cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def _damaged(path: Path, place: int) -> Path:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives(tmp_path, kind):
    """Refused as a whole: nothing beside the store, and nothing in it."""
    (tmp_path / "outer").mkdir()
    archive = HOSTILE[kind](tmp_path / "archive")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(InputError, match="nothing of it was kept"), unpacked(archive, tmp_path / "outer" / "store"):
        pytest.fail("unpacked")
    after = sorted(str(path) for path in tmp_path.rglob("*") if path.name != "store")
    assert after == before
    assert not list((tmp_path / "outer" / "store").iterdir())
    assert not Path("/tmp/synthseg-escaped").exists()


@pytest.mark.parametrize("make", [_tar, _zip])
def test_bombs_are_stopped_while_they_grow(tmp_path, monkeypatch, make):
    """By what comes out, whatever the headers say; the disk never holds more than the bound and a block."""
    monkeypatch.setattr(module, "_SMALL_BYTES", 1 << 20)
    archive = make(tmp_path / "bomb", {f"model/{n}": bytes(3 << 20) for n in range(30)})
    assert archive.stat().st_size * module._MOST_TIMES < 90 << 20
    largest = []
    real = module.os.fdopen
    monkeypatch.setattr(module.os, "fdopen", lambda *a: (largest.append(_size(tmp_path / "store")), real(*a))[1])
    with pytest.raises(InputError, match="MB when unpacked"), unpacked(archive, tmp_path / "store"):
        pytest.fail("unpacked")
    assert max(largest) < 80 << 20
    assert not list((tmp_path / "store").iterdir())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_too_many_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_MEMBERS", 5)
    archive = _tar(tmp_path / "many", {f"f{n}": b"" for n in range(6)})
    with pytest.raises(InputError, match="more than 5 entries"), unpacked(archive, tmp_path / "store"):
        pytest.fail("unpacked")


def test_several_models_in_one_archive(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plans.json").touch()
    with pytest.raises(InputError, match="2 plans.json"):
        model_folder(tmp_path)
    with pytest.raises(InputError, match="no plans.json"):
        model_folder(tmp_path / "empty")


_KILLED = """
import sys, time
from pathlib import Path
from synthseg_core.models.archive import unpacked
with unpacked(Path(sys.argv[1]), Path(sys.argv[2])):
    print("there", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_leaves_is_removed(tmp_path):
    """It has a temporary name, and the next one clears it away."""
    archive, store = _tar(tmp_path / "a.tar.gz", GOOD), tmp_path / "store"
    process = subprocess.Popen([sys.executable, "-c", _KILLED, archive, store], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (left,) = store.iterdir()
    assert left.name.startswith(".tmp-")
    from synthseg_core.system.atomic import remove_abandoned_once

    remove_abandoned_once.cache_clear()
    with unpacked(archive, store) as folder:
        assert [path.name for path in store.iterdir()] == [folder.name]
    assert not list(store.iterdir())
