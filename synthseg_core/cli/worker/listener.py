"""The socket that a worker listens on: private, its own while it lives, gone afterwards."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from synthseg_core.cli.worker.address import check_length
from synthseg_core.errors import UsageError
from synthseg_core.system.atomic import output_error

_BACKLOG = 128


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


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.lstat()
    except OSError:
        return None
    return state.st_dev, state.st_ino
