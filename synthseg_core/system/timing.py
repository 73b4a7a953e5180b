"""Wall time by phase, for benchmarks and logs; never part of results, which must not depend on the clock.

Who collects the times also learns where a job is: it may let a phase wait for its turn, or end the job between two.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(eq=False)  # told apart by identity: timers that hold equal times are not the same
class Timer:
    """Seconds spent in each named phase of a job, in order of first use."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time inside the ``with`` block to a phase."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

    def give_way(self) -> None:
        """Do nothing; a timer that knows that nobody waits for the result any more raises here."""


_timers: list[Timer] = []
_own: ContextVar[Timer | None] = ContextVar("_own", default=None)


@contextmanager
def collected() -> Iterator[Timer]:
    """Collect the times of all phases that run inside the ``with`` block, in whatever thread."""
    times = Timer()
    _timers.append(times)
    try:
        yield times
    finally:
        _timers.remove(times)


@contextmanager
def collected_here(times: Timer) -> Iterator[None]:
    """Give the phases that this thread runs inside the ``with`` block to a timer of its own."""
    token = _own.set(times)
    try:
        yield
    finally:
        _own.reset(token)


def current() -> Timer:
    """Return this thread's timer, else the innermost one, or one that nobody reads."""
    return _own.get() or (_timers[-1] if _timers else Timer())


def give_way() -> None:
    """Let whoever wants to end the job do so, between two steps or before a result is written."""
    current().give_way()
