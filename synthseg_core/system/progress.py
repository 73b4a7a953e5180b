"""What a person sees while work goes on: one line on a terminal, drawn by tqdm, and plain lines of events in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TextIO

from synthseg_core.errors import Failure

OnProgress = Callable[[int, int], None]  # called with how many are done, and of how many


class StatusLine:
    """One line that is redrawn on a terminal; where the stream is none, such as a log, nothing is drawn.

    Parameters
    ----------
    stream
        ``None``: standard error.
    interval_s
        Least time between two drawings.
    leave
        Whether the last text stays when the line is closed.
    """

    def __init__(self, stream: TextIO | None = None, *, interval_s: float = 0.0, leave: bool = False) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._interval_s = interval_s
        self._leave = leave
        self._bar: Any = None
        self._drawn = -interval_s

    @property
    def live(self) -> bool:
        """Whether somebody can see the line."""
        return self._stream.isatty()

    def draw(self, text: str, *, at_once: bool = False) -> None:
        """Show a text in place of the last one; ``at_once``: even if that was drawn a moment ago."""
        now = time.monotonic()
        if not self.live or (now - self._drawn < self._interval_s and not at_once):
            return
        self._drawn = now
        if self._bar is None:
            self._bar = _tqdm_line(self._stream, leave=self._leave)
        self._bar.set_description_str(text)

    def say(self, *lines: str) -> None:
        """Write whole lines, to a log too; on a terminal they stand above the line."""
        if self._bar is not None:
            self._bar.clear()
        for line in lines:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Take the line away, or go on below it."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def duration_text(seconds: float) -> str:
    """Say a time as a person would, such as ``40 s``, ``3 min`` or ``2 h 5 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _tqdm_line(stream: TextIO, *, leave: bool) -> Any:
    from tqdm import tqdm

    class Line(tqdm):  # type: ignore[type-arg]
        monitor_interval = 0  # no thread that redraws the line

    # The position is given because tqdm would put the line below every other one that is still open in this process.
    return Line(file=stream, bar_format="{desc}", leave=leave, disable=None, dynamic_ncols=True, position=0)


class CountLine:
    """Shows for instance ``reading label maps: 3 of 20`` while the ``with`` block runs.

    Parameters
    ----------
    what
        What is going on.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._line = StatusLine()

    def __enter__(self) -> CountLine:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Redraw the line."""
        self._line.draw(f"{self._what}: {done} of {total}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close()


class Progress:
    """What a person sees while a batch runs: a status line on a terminal, plain lines of events in a log.

    Parameters
    ----------
    total
        Number of scans.
    stream
        Usually standard error.
    clock
        Seconds, monotonic; given by tests.
    """

    def __init__(self, total: int, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self._line = StatusLine(stream)
        self._clock = clock
        self._done = 0
        self._begin = clock()

    def started(self, scan: str) -> None:
        """Show what is being computed; on a terminal only."""
        self._line.draw(f"[{self._done + 1}/{self.total}] {scan}{self._remaining()}")

    def finished(self, scan: str, warnings: Sequence[str] = ()) -> None:
        """Say that a scan is done, with its warnings."""
        self._done += 1
        self.say(*(f"warning: {scan}: {warning}" for warning in warnings))
        if not self._line.live:
            self.say(f"[{self._done}/{self.total}] {scan}")

    def failed(self, failure: Failure, trace: str = "") -> None:
        """Say that a scan failed; ``trace`` is the traceback of an unknown error."""
        self._done += 1
        self.say(*trace.splitlines(), f"[{self._done}/{self.total}] FAILED {failure.line()}")

    def say(self, *lines: str) -> None:
        """Write whole lines, above the status line of a terminal."""
        self._line.say(*lines)

    def close(self) -> None:
        """Remove the status line."""
        self._line.close()

    def _remaining(self) -> str:
        if not self._done:
            return ""
        seconds = (self._clock() - self._begin) / self._done * (self.total - self._done)
        return f", about {duration_text(seconds)} left"
