"""Wall time by stage, for benchmarks and logs; never part of results, which must not depend on the clock.

Who collects the times also learns where a job is: it may let a stage wait for its turn, or end the job at a checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(eq=False)  # told apart by identity: collectors that hold equal times are not the same
class StageTimes:
    """Seconds spent in each named stage, in order of first use."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time inside the ``with`` block to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

    def checkpoint(self) -> None:
        """Do nothing; a collector that knows that nobody waits for the result any more raises here."""


_collectors: list[StageTimes] = []
_own: ContextVar[StageTimes | None] = ContextVar("_own", default=None)


@contextmanager
def collected() -> Iterator[StageTimes]:
    """Collect the times of all stages that run inside the ``with`` block, in whatever thread."""
    times = StageTimes()
    _collectors.append(times)
    try:
        yield times
    finally:
        _collectors.remove(times)


@contextmanager
def collected_here(times: StageTimes) -> Iterator[None]:
    """Give the stages that this thread runs inside the ``with`` block to a collector of its own."""
    token = _own.set(times)
    try:
        yield
    finally:
        _own.reset(token)


def current() -> StageTimes:
    """Return this thread's collector, else the innermost one, or one that nobody reads."""
    return _own.get() or (_collectors[-1] if _collectors else StageTimes())


def checkpoint() -> None:
    """Give way, between two steps or before a result is written, to whoever wants to end the job."""
    current().checkpoint()
