"""Tables that grow while a run goes on: a whole line is added, or nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from synthseg_core.errors import OutputError
from synthseg_core.system.atomic import write_bytes


def start_table(path: Path, text: str) -> None:
    """Replace a file by its first lines, atomically; names that are no UTF-8 keep their bytes."""
    write_bytes(path, _encode(text))


def append_whole(path: Path, text: str) -> None:
    """Add text at the end of a file in one write, on disk when this returns; a part that got in is taken out again.

    Parameters
    ----------
    path
        Existing file.
    text
        One or several complete lines, line end included.

    Raises
    ------
    OutputError
        If the disk is full or the file cannot be written; the file is then as it was.
    """
    data = _encode(text)
    try:
        with path.open("r+b", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            try:
                _write_all(file.fileno(), data)
            except OSError:
                file.truncate(before)
                raise
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(
            path,
            found=f"a line that could not be added ({error.strerror})",
            expected="a writable file and free disk space",
            remedy="free some space or choose another file, then run again",
        ) from error


def _encode(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")


def _write_all(descriptor: int, data: bytes) -> None:
    if (written := os.write(descriptor, data)) != len(data):
        raise OSError(errno.ENOSPC, f"{written} of {len(data)} bytes written")
