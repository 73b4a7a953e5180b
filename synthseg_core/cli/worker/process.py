"""The end of a worker: asked to by a signal, or because the process that it works for has gone.

A working folder and umask for one thread, where the system has such.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.system.processes import is_alive

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def stopped_by_signals(stopping: threading.Event) -> Iterator[socket.socket]:
    """Set the event on a signal to end; yield a socket that becomes readable then, to wake the main thread."""
    awake, wake = socket.socketpair()
    with awake, wake:
        wake.setblocking(False)
        former = {number: signal.signal(number, lambda *_: stopping.set()) for number in _SIGNALS}
        descriptor = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        try:
            yield awake
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in former.items():
                signal.signal(number, handler)


class Parent:
    """The process that the worker must not survive.

    Parameters
    ----------
    pid
        ``None``: the worker lives until it is told to end.
    """

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._direct = pid == os.getppid()
        if self._direct and sys.platform == "linux":
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    def has_gone(self) -> bool:
        """Say whether the process has ended; to be asked now and then, for not every system sends a signal."""
        if self._pid is None:
            return False
        return os.getppid() != self._pid if self._direct else not is_alive(self._pid)


_CLONE_FS = 0x200  # <sched.h>


@dataclass(frozen=True)
class Place:
    """Where relative paths start and which permissions new files lack."""

    folder: str
    umask: int

    @classmethod
    def here(cls) -> Place:
        """Return those of this process; only while it has no other threads."""
        umask = os.umask(0)
        os.umask(umask)
        return cls(str(Path.cwd()), umask)

    def enter(self, former: Place) -> str | None:
        """Go there with this thread only, which ends with its job; say in a word what differs where that fails.

        Linux lets a thread part from the working folder and umask that it shares with the others (unshare(2)).
        """
        if self == former:
            return None
        if sys.platform != "linux" or ctypes.CDLL(None, use_errno=True).unshare(_CLONE_FS):
            return "working folder or umask"
        os.umask(self.umask)
        try:
            os.chdir(self.folder)
        except OSError:
            return "working folder"
        return None
