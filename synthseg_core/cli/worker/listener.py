"""The socket of a worker: a short private path for each work folder, its own while it lives, gone afterwards."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from synthseg_core.errors import UsageError
from synthseg_core.system.atomic import output_error

LONGEST = 107
"""Bytes that the name of a socket may have on Linux; elsewhere a few less."""
_LONGEST_ANYWHERE = 103
_BACKLOG = 128


def socket_path(work: Path) -> Path:
    """Return the socket for a work folder, in a folder of this user that is made if need be.

    Raises
    ------
    UsageError
        If every folder for such files is somebody else's or cannot be made.
    """
    digest = hashlib.sha256(os.fsencode(work.absolute())).hexdigest()[:16]
    for base in _bases():
        path = base / f"synthseg-{os.getuid()}" / f"{digest}.sock"
        if len(os.fsencode(path)) <= _LONGEST_ANYWHERE and _private(path.parent):
            return path
    raise UsageError(
        "socket of the worker",
        found=f"no folder that only this user can open in {', '.join(map(str, _bases()))}",
        expected="one",
        remedy="set XDG_RUNTIME_DIR or TMPDIR to a folder of your own with a short name",
    )


def check_length(path: Path) -> None:
    """Refuse a name that sockets cannot have."""
    size = len(os.fsencode(path))
    if size > LONGEST:
        raise UsageError(
            path, found=f"a name of {size} bytes", expected=f"at most {LONGEST}", remedy="choose a shorter one"
        )


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Listen at a path that only this user can connect to; what a killed worker left there is replaced.

    Call it before other threads start: the umask is changed for a moment.

    Raises
    ------
    UsageError
        If a live worker has the path, something else lies there, or sockets cannot have such names.
    OutputError
        If the folder cannot be written to.
    """
    check_length(path)
    try:
        listener = _claimed(path)
    except OSError as error:
        raise output_error(path, error) from error
    identity = _identity(path)
    try:
        yield listener
    finally:
        listener.close()
        if _identity(path) == identity:
            path.unlink(missing_ok=True)


def is_answered(path: Path) -> bool:
    """Say whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
        except TimeoutError:  # it is there but slow
            return True
        except OSError:
            return False
    return True


def _bases() -> list[Path]:
    named = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]
    return [Path(text) for text in dict.fromkeys(named) if Path(text).is_absolute()]


def _private(folder: Path) -> bool:
    """Make a folder that only this user can open; say whether it is there and is that."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not stat.S_IMODE(state.st_mode) & 0o077


def _claimed(path: Path) -> socket.socket:
    """Take the path while nobody else is about to."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # file systems without such locks: two workers that start at once may both go on
            fcntl.flock(folder, fcntl.LOCK_EX)
        _require_free(path)
        return _bound(path)
    finally:
        os.close(folder)


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    umask = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(umask)
    return listener


def _require_free(path: Path) -> None:
    """Remove a socket that nobody listens to; refuse whatever else is there."""
    if not os.path.lexists(path):  # also links to nothing
        return
    if not path.is_socket():
        raise UsageError(path, found="a file", expected="no file or a socket", remedy="choose another name")
    if is_answered(path):
        raise UsageError(
            path, found="a worker that listens there", expected="a socket of its own", remedy="stop it, or use it"
        )
    path.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.lstat()
    except OSError:
        return None
    return state.st_dev, state.st_ino
