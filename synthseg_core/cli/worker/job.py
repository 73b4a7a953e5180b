"""One command of one client in a worker: whether it is taken, its turn on the device, its end, its exit status."""

from __future__ import annotations

import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from synthseg_core.cli.worker.environment import ONE_THREAD, difference, is_per_scan
from synthseg_core.cli.worker.messages import Request
from synthseg_core.system.timing import Timer

Command = Callable[[list[str]], int]
"""Runs a command line in the calling thread and returns its exit status."""
ON_DEVICE = frozenset({"network", "parcels", "quality"})
"""Phases that keep a GPU busy."""
COMPUTING = ON_DEVICE | {"conform", "clean-up"}
"""Phases that keep all threads of a job busy."""
_GLANCE_S = 0.2


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


class Gate:
    """Lets a number of jobs at a time through certain phases.

    Parameters
    ----------
    slots
        How many.
    phases
        Names of the phases.
    """

    def __init__(self, slots: int, phases: frozenset[str]) -> None:
        self.phases = phases
        self._free = threading.Semaphore(slots)

    def enter(self, give_way: Callable[[], None]) -> None:
        """Wait for a slot, asking meanwhile whether to go on."""
        while not self._free.acquire(timeout=_GLANCE_S):
            give_way()

    def leave(self) -> None:
        """Give the slot to the next."""
        self._free.release()


class JobTimer(Timer):
    """Collects the times of one job, which runs in one thread; waits at the gate; ends a job without a client.

    Parameters
    ----------
    gate
        For the phases that need the device.
    require_client
        Raises when nobody waits for the result.
    """

    def __init__(self, gate: Gate, require_client: Callable[[], None]) -> None:
        super().__init__()
        self._gate = gate
        self._require_client = require_client
        self._inside = False

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Run a phase when it is this job's turn; waiting counts as a phase of its own."""
        self.give_way()
        if self._inside or name not in self._gate.phases:
            with super().phase(name):
                yield
            return
        with self._turn(), super().phase(name):
            yield

    def give_way(self) -> None:
        """End the job here if nobody waits for it."""
        self._require_client()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with super().phase("waiting"):
            self._gate.enter(self.give_way)
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
            self._gate.leave()


def objection(request: Request, environment: Mapping[str, Any]) -> str | None:
    """Say why a process with this environment cannot run a command as the client would; ``None`` if it can."""
    if not is_per_scan(request.words):
        return "not a command about one scan"
    threads_given = request.words[0] in ONE_THREAD or any(word.startswith("--th") for word in request.words)
    other = difference(environment, request.environment, threads_given=threads_given)
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
