"""Write files so that a final name never holds half a result: temporary name, fsync, rename.

A temporary name says who writes the file: ``.tmp-SYSTEM-PROCESS-RANDOM``. SYSTEM stands for the running computer, since
its last start, and for the container, if any: within it a process number means one process. Folders are often shared by
many computers, so what a killed process left behind is removed at once on its own system, and on another one only when
nothing has been written to it for a day.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from synthseg_core.errors import OutputError, SynthSegError
from synthseg_core.system.paths import is_allowed
from synthseg_core.system.processes import is_alive
from synthseg_core.system.timing import give_way

_PATTERN = re.compile(r"\.tmp-([0-9a-f]{8})-(\d+)-[0-9a-f]+(?:\.|$)")
_BOOT, _PROCESS_SPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
# The longest writing takes minutes; the rest is for clocks that differ and programs that were suspended.
_ABANDONED_S = 24 * 3600.0
# What file systems answer that have no way to flush a file.
_CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_REMEDIES = {
    errno.ENOSPC: "free some space, or write somewhere else",
    errno.EDQUOT: "free some of your quota, or write somewhere else",
    errno.EFBIG: "raise the file size limit (ulimit -f), or write somewhere else",
    errno.EACCES: "correct the permissions, or write somewhere else",
    errno.EPERM: "correct the permissions, or write somewhere else",
    errno.EROFS: "write somewhere else; this file system is read-only",
    errno.ENOTDIR: "choose an output folder whose path holds no file",
    errno.EEXIST: "choose an output folder whose path holds no file",
    errno.EISDIR: "give a file name, not a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def atomic_path(final: Path) -> Generator[Path]:
    """Yield a temporary path beside ``final``; rename it to ``final`` when the block ends well.

    Parent folders are made. On any exception the temporary file is removed and ``final`` is left as it was; what a
    killed process left is removed by a later one that writes to the folder.

    Raises
    ------
    OutputError
        If the folder, the file or the renaming fails, or the block raises ``OSError``: only write inside it.
    """
    final = Path(final)
    try:
        _check_target(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned_once(final.parent.absolute())
        temporary = temporary_name(final)
        try:
            yield temporary
            _flush(temporary)
            give_way()
            temporary.replace(final)
            _flush_folder(final.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except SynthSegError:
        raise
    except OSError as error:
        raise output_error(final, error) from error


def check_writable(final: Path) -> None:
    """Find out before long work, without touching anything, whether ``final`` can be expected to be written.

    Raises
    ------
    OutputError
        If a folder or device has that name, or the folder is not one or may not be written to.
    """
    final = Path(final)
    try:
        _check_target(final)
        _check_folder(next(parent for parent in final.absolute().parents if parent.exists()))
    except SynthSegError:
        raise
    except OSError as error:
        raise output_error(final, error) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically as UTF-8, line ends as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: object) -> None:
    """Write ``content`` atomically as indented JSON in the order given; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def output_error(final: Path, error: OSError) -> OutputError:
    """Return the one-line form of a failure to write ``final``."""
    reason = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno or 0, "check the folder and write somewhere else if need be")
    return OutputError(final, found=reason[:1].lower() + reason[1:], expected="a writable file", remedy=remedy)


def temporary_name(final: Path) -> Path:
    """Return a fresh name beside ``final`` with the same extension, so that writers that look at it behave the same."""
    extension = ".nii.gz" if final.name.endswith(".nii.gz") else final.suffix
    return final.with_name(f".tmp-{_this_system()}-{os.getpid()}-{secrets.token_hex(4)}{extension}")


@cache
def remove_abandoned_once(folder: Path) -> None:
    """Remove abandoned files of a folder when this process writes there for the first time."""
    remove_abandoned(folder)


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files and folders that nobody writes to any more; whatever forbids that, they then stay."""
    with suppress(OSError):
        for path in folder.glob(".tmp-*"):
            with suppress(OSError):
                if _is_abandoned(path):
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path)
                    else:
                        path.unlink()


def _is_abandoned(path: Path) -> bool:
    match = _PATTERN.match(path.name)
    if match is None:
        return False
    if match[1] == _this_system():
        return not is_alive(int(match[2]))
    return time.time() - path.lstat().st_mtime > _ABANDONED_S


@cache
def _this_system() -> str:
    """Return eight digits that differ between computers, their starts, and containers."""
    try:
        facts = f"{_BOOT.read_text()} {_PROCESS_SPACE.readlink()}"
    except OSError:  # not Linux
        facts = f"{socket.gethostname()} {uuid.getnode()}"
    return hashlib.sha256(facts.encode()).hexdigest()[:8]


def _check_target(final: Path) -> None:
    """Refuse folders and devices: a rename would hide or replace them."""
    if final.is_dir():
        raise OSError(errno.EISDIR, "a folder of that name")
    if final.exists() and not final.is_file():
        raise OutputError(
            final, found="a device or pipe", expected="a regular file name", remedy="give the path of a file"
        )


def _check_folder(folder: Path) -> None:
    """Refuse what is no folder, or may not be written to."""
    if not folder.is_dir():
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not is_allowed(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def flush(descriptor: int) -> None:
    """Bring a file to the disk, where its file system knows how; what the disk refuses is an error."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        flush(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the renaming itself durable, where that can be done.

    Whatever goes wrong here, an input/output error included, costs no result: the file is on the disk and has its name.
    Samba of old kernels, VirtualBox and WSL answer so for folders that are well.
    """
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
