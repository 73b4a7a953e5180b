"""Where a worker listens: a short private path for each work folder."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from synthseg_core.errors import UsageError

LONGEST = 107
"""Bytes that the name of a socket may have on Linux; elsewhere a few less."""
_LONGEST_ANYWHERE = 103


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
