"""A progress line that counts files, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TextIO

from synthseg_core.errors import Failure

OnProgress = Callable[[int, int], None]  # called with how many are done, and of how many


class CountLine:
    """Shows for instance ``reading label maps: 3 of 20`` while the ``with`` block runs.

    Parameters
    ----------
    what
        What is going on.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._stream = sys.stderr
        self._terminal = self._stream.isatty()

    def __enter__(self) -> CountLine:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Redraw the line."""
        if self._terminal:
            print(f"\r\033[K{self._what}: {done} of {total}", end="", file=self._stream, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            print("\r\033[K", end="", file=self._stream, flush=True)


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
        self._stream = stream
        self._clock = clock
        self._live = stream.isatty()
        self._done = 0
        self._begin = clock()

    def started(self, scan: str) -> None:
        """Show what is being computed; on a terminal only."""
        if self._live:
            self._write(f"\r\x1b[K[{self._done + 1}/{self.total}] {scan}{self._remaining()}")

    def finished(self, scan: str, warnings: Sequence[str] = ()) -> None:
        """Say that a scan is done, with its warnings."""
        self._done += 1
        self.say(*(f"warning: {scan}: {warning}" for warning in warnings))
        if not self._live:
            self.say(f"[{self._done}/{self.total}] {scan}")

    def failed(self, failure: Failure, trace: str = "") -> None:
        """Say that a scan failed; ``trace`` is the traceback of an unknown error."""
        self._done += 1
        self.say(*trace.splitlines(), f"[{self._done}/{self.total}] FAILED {failure.line()}")

    def say(self, *lines: str) -> None:
        """Write whole lines, above the status line of a terminal."""
        clear = "\r\x1b[K" if self._live else ""
        for line in lines:
            self._write(f"{clear}{line}\n")

    def close(self) -> None:
        """Remove the status line."""
        if self._live:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _remaining(self) -> str:
        if not self._done:
            return ""
        seconds = (self._clock() - self._begin) / self._done * (self.total - self._done)
        return f", about {max(1, round(seconds / 60))} min left"
