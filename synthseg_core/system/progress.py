"""A progress line that counts files, on a terminal only."""

from __future__ import annotations

import sys
from types import TracebackType


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
