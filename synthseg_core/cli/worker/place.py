"""A working folder and umask for one thread, where the system has such."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

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
