"""One command of one client, from the answer ``taken`` to its exit status."""

from __future__ import annotations

import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from synthseg_core.cli.worker.environment import ONE_THREAD, PER_SCAN, difference
from synthseg_core.cli.worker.messages import Request
from synthseg_core.cli.worker.place import Place

Command = Callable[[list[str]], int]
"""Runs a command line in the calling thread and returns its exit status."""


class ClientGoneError(BaseException):
    """Nobody waits for the result; no ``Exception``, so that no cleaning up takes it for a fault of the scan."""


@dataclass(frozen=True)
class Client:
    """The other end of a connection.

    Parameters
    ----------
    connection
        Stays open until the end.
    stopping
        Set when the worker ends.
    """

    connection: socket.socket
    stopping: threading.Event

    def require(self) -> None:
        """Raise ``ClientGoneError`` if the client has gone, or is left to itself because the worker ends."""
        if self.stopping.is_set() or not self._waits():
            raise ClientGoneError

    def tell(self, answer: str) -> None:
        """Send one line; a client that has gone is noticed elsewhere."""
        with suppress(OSError):
            self.connection.sendall(answer.encode() + b"\n")

    def _waits(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


def objection(request: Request, surroundings: Mapping[str, Any], place: Place) -> str | None:
    """Say why this process cannot run a command as its own process would; else go to its place, with this thread."""
    if not request.words or request.words[0] not in PER_SCAN:
        return "not a command about one scan"
    threads_given = request.words[0] in ONE_THREAD or any(word.startswith("--t") for word in request.words)
    other = difference(surroundings, request.surroundings, threads_given=threads_given)
    other = other or Place(request.folder, request.umask).enter(place)
    return None if other is None else f"another {other}"


def status_of(command: Command, words: Sequence[str]) -> int:
    """Run a command and return the exit status that its own process would have, with the same last words."""
    try:
        return command(list(words))
    except SystemExit as end:
        return _status_of_exit(end.code)
    except Exception:  # what would end a process of its own must not end the worker
        traceback.print_exc()
        return 1


def _status_of_exit(code: object) -> int:
    """Return the status that Python makes of the argument of ``sys.exit``."""
    if code is None or isinstance(code, int):
        return int(code or 0) & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1
