"""Processes of this computer: whether one is alive, and how one ends with its parent."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


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


def end_with_parent() -> Callable[[], None]:
    """Return what a process calls to be terminated when its parent dies; it does nothing where only Linux can.

    All is loaded before, so that it may be called between a fork and the new program.
    """
    if sys.platform != "linux":
        return lambda: None
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return ask
