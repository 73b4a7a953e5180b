"""One run at a time in a work folder, and what a killed run left behind.

The lock is the operating system's, on an open file: it ends with the processes that hold it, however they end.
Snakemake inherits it, so a work folder stays locked while a killed front door's Snakemake finishes its jobs. The file
says who runs, for messages; it is emptied at the end, so that a later run knows whether the last one, or its Snakemake,
was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from synthseg_core.errors import OutputError, UsageError
from synthseg_core.system.processes import is_alive


@dataclass
class RunLock:
    """A lock that is held.

    Parameters
    ----------
    descriptor
        Of the open file, for child processes to inherit.
    after_crash
        Whether the last run in this folder did not come to its end.
    cleared
        Whether what a crash left behind is cleared; set by the holder. Until then the next run is told of it too.
    crashed
        Whether what the holder started was killed and left something behind; set by the holder, for the next run.
    """

    descriptor: int
    after_crash: bool
    cleared: bool = False
    crashed: bool = False


@contextmanager
def run_lock(path: Path, *, force: bool = False) -> Generator[RunLock, None, None]:
    """Hold the lock of a work folder.

    Parameters
    ----------
    path
        Of the lock file.
    force
        Trust the caller that a run recorded by another computer has ended.

    Raises
    ------
    UsageError
        If another run holds the lock, or may hold it on another computer.
    OutputError
        If the folder cannot be written to.
    """
    with _open(path) as file:
        _acquire(file, path)
        former = _record(file)
        if former and former.get("host") != socket.gethostname() and not force:
            raise _in_use(path, former, "wait for it; if it has ended, run again with --unlock")
        record = _own_record()
        _write(file, json.dumps(record))
        lock = RunLock(file.fileno(), after_crash=bool(former))
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
            return _who(_record(file))
        except OSError:  # a file system without locks, where no run could have begun
            return ""
        return ""


def _open(path: Path) -> TextIO:
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


def _acquire(file: TextIO, path: Path) -> None:
    """Lock the file; wait only for the remains of a killed run."""
    if _try_lock(file, path):
        return
    record = _record(file)
    # An empty record: the run that holds the lock is just beginning, or just ending.
    if record.get("host") != socket.gethostname() or is_alive(int(record["pid"])):
        raise _in_use(path, record, "wait for it, or end it")
    print(f"The run {record['pid']} was killed; waiting for the jobs that it left running.", flush=True)
    fcntl.flock(file, fcntl.LOCK_EX)


def _try_lock(file: TextIO, path: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def _record(file: TextIO) -> dict[str, str]:
    """Return who wrote the file last; empty after a run that came to its end."""
    file.seek(0)
    text = file.read()
    return json.loads(text) if text else {}


def _own_record() -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": str(os.getpid()), "host": socket.gethostname(), "started": now}


def _write(file: TextIO, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()


def _who(record: dict[str, str]) -> str:
    if not record:
        return "a process"
    return f"process {record.get('pid')} on {record.get('host')} since {record.get('started')}"


def _in_use(path: Path, record: dict[str, str], remedy: str) -> UsageError:
    found = f"a run by {_who(record)}"
    return UsageError(path.parent, found=found, expected="a work folder of its own", remedy=remedy)
