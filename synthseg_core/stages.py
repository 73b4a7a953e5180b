"""Wall time by stage, for benchmarks and logs; never part of results, which must not depend on the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
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


_collectors: list[StageTimes] = []


@contextmanager
def collected() -> Iterator[StageTimes]:
    """Collect the times of all stages that run inside the ``with`` block, in whatever thread."""
    times = StageTimes()
    _collectors.append(times)
    try:
        yield times
    finally:
        _collectors.remove(times)


def current() -> StageTimes:
    """Return the innermost collector, or one that nobody reads."""
    return _collectors[-1] if _collectors else StageTimes()
