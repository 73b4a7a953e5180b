"""One run at a time in a work folder, and what a killed run left behind.

The lock is the operating system's, on an open file: it ends with the processes that hold it, however they end.
Snakemake inherits it, so a work folder stays locked while a killed front door's Snakemake finishes its jobs. The file
says who runs, for messages; it is emptied at the end, so that a later run knows whether the last one, or its Snakemake,
was killed.

Runs about single participants share the folder: see :mod:`synthseg_core.app.parts`.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from synthseg_core.errors import OutputError, UsageError
from synthseg_core.system.processes import is_alive


@dataclass
class RunLock:
    """A lock that is held.

    Parameters
    ----------
    folder
        Where whoever holds it works.
    descriptors
        Of the open files, for child processes to inherit.
    after_crash
        Whether the last run in this folder did not come to its end.
    cleared
        Whether what a crash left behind is cleared; set by the holder. Until then the next run is told of it too.
    crashed
        Whether what the holder started was killed and left something behind; set by the holder, for the next run.
    """

    folder: Path
    descriptors: tuple[int, ...]
    after_crash: bool
    cleared: bool = False
    crashed: bool = False


@contextmanager
def run_lock(
    path: Path, *, force: bool = False, parts: Sequence[Path] = (), about: Mapping[str, Any] | None = None
) -> Generator[RunLock, None, None]:
    """Hold the lock of a work folder.

    Parameters
    ----------
    path
        Of the lock file.
    force
        Trust the caller that a run recorded by another computer has ended.
    parts
        Lock files of runs that share this lock; those that were killed count as a crash of this one's last run.
    about
        More to record for others to read.

    Raises
    ------
    UsageError
        If another run holds the lock, or may hold it on another computer.
    OutputError
        If the folder cannot be written to.
    """
    with open_lock(path) as file:
        acquire(file, path, parts=parts)
        former = recorded(file)
        killed = [former, *map(record_of, parts)]
        for one in killed:
            require_ended(path, one, force=force)
        record = {**_own_record(), **(about or {})}
        _write(file, json.dumps(record))
        lock = RunLock(path.parent, (file.fileno(),), after_crash=any(killed))
        # Emptied on every way out but a kill.
        try:
            yield lock
        finally:
            left = record if lock.crashed else {} if lock.cleared else former
            _write(file, json.dumps(left) if left else "")


def current_owner(path: Path) -> str:
    """Say who holds the lock now; empty if nobody does."""
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return who(recorded(file))
        except OSError:  # a file system without locks, where no run could have begun
            return ""
        return ""


def open_lock(path: Path) -> TextIO:
    """Open a lock file, which is made if it is not there; ``OutputError`` if the folder cannot be written to."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            path.parent,
            found=(error.strerror or str(error)).lower(),
            expected="a folder that can be written to",
            remedy="correct its permissions, or choose another output or --work-dir",
        ) from error


def try_lock(file: TextIO, path: Path, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file, alone or with others (``fcntl.LOCK_SH``), and say whether that was possible at once.

    Raises
    ------
    UsageError
        If its file system has no locks.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UsageError(
            path,
            found=f"a file system without locks ({error.strerror})",
            expected="one with locks",
            remedy="choose another folder with --work-dir",
        ) from error
    return True


def acquire(file: TextIO, path: Path, kind: int = fcntl.LOCK_EX, *, parts: Sequence[Path] = ()) -> None:
    """Lock an open lock file; wait only for the remains of killed runs.

    Parameters
    ----------
    file, path
        The file.
    kind
        ``fcntl.LOCK_SH``: together with others of the kind.
    parts
        Lock files of those who may hold it together.

    Raises
    ------
    UsageError
        If somebody else holds it.
    """
    if try_lock(file, path, kind):
        return
    records = [record for record in (recorded(file), *map(record_of, parts)) if record]
    # No record: the run that holds the lock is just beginning, or just ending.
    for record in records or [{}]:
        if not _is_here(record) or is_alive(int(record["pid"])):
            raise in_use(path, record, "wait for it, end it, or choose another folder with --work-dir")
    numbers = ", ".join(record["pid"] for record in records)
    print(f"The run {numbers} was killed; waiting for the jobs that it left running.", flush=True)
    fcntl.flock(file, kind)


def recorded(file: TextIO) -> dict[str, Any]:
    """Return who wrote the file last; empty after a run that came to its end."""
    file.seek(0)
    text = file.read()
    try:
        return json.loads(text) if text else {}
    except json.JSONDecodeError:  # being written
        return {}


def record_of(path: Path) -> dict[str, Any]:
    """Return who wrote a lock file last; empty also where there is none."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8") as file:
        return recorded(file)


def require_ended(path: Path, record: Mapping[str, Any], *, force: bool) -> None:
    """Raise ``UsageError`` for a record without a lock that another computer has left, whose locks may not be seen."""
    if record and not _is_here(record) and not force:
        raise in_use(path, record, "wait for it; if it has ended, run again with --unlock")


def in_use(path: Path, record: Mapping[str, Any], remedy: str) -> UsageError:
    """Return the refusal of a work folder that somebody else uses."""
    return UsageError(path.parent, found=f"a run by {who(record)}", expected="a work folder of its own", remedy=remedy)


def who(record: Mapping[str, Any]) -> str:
    """Say whose record this is."""
    if not record:
        return "a process"
    return f"process {record.get('pid')} on {record.get('host')} since {record.get('started')}"


def _is_here(record: Mapping[str, Any]) -> bool:
    return record.get("host") == socket.gethostname()


def _own_record() -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": str(os.getpid()), "host": socket.gethostname(), "started": now}


def _write(file: TextIO, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
