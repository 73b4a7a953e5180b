"""Names of temporary files, and which of those that killed processes left behind may be removed.

A name says who writes the file: ``.tmp-SYSTEM-PROCESS-RANDOM``. SYSTEM stands for the running computer, since its last
start, and for the container, if any: within it a process number means one process. Folders are often shared by many
computers, so a file of another system is only removed when nothing has been written to it for a day.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

_PATTERN = re.compile(r"\.tmp-([0-9a-f]{8})-(\d+)-[0-9a-f]+(?:\.|$)")
_BOOT, _PROCESS_SPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
# The longest writing takes minutes; the rest is for clocks that differ and programs that were suspended.
_ABANDONED_S = 24 * 3600.0


def temporary_name(final: Path) -> Path:
    """Return a fresh name beside ``final`` with the same extension, so that writers that look at it behave the same."""
    extension = ".nii.gz" if final.name.endswith(".nii.gz") else final.suffix
    return final.with_name(f".tmp-{_this_system()}-{os.getpid()}-{secrets.token_hex(4)}{extension}")


@cache
def remove_abandoned_once(folder: Path) -> None:
    """Remove abandoned files of a folder when this process writes there for the first time."""
    remove_abandoned(folder)


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files that nobody writes to any more; whatever forbids that, they then stay."""
    with suppress(OSError):
        for path in folder.glob(".tmp-*"):
            with suppress(OSError):
                if _is_abandoned(path):
                    path.unlink()


def is_alive(pid: int) -> bool:
    """Say whether a process of this computer exists and has not ended; one that nobody waited for yet has."""
    if os.name != "posix":  # elsewhere the question would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Say whether a process has ended and only its parent does not know; Linux tells."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in ("Z", "X")
    return False


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
