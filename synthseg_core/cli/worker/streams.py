"""Standard output and error of many jobs in one process: each thread writes to its own client's."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TextIO


class ThreadStream:
    """Stands for ``sys.stdout`` or ``sys.stderr`` and passes everything on to the stream of the thread that asks.

    Parameters
    ----------
    own
        The stream of threads that work for nobody.
    """

    def __init__(self, own: TextIO) -> None:
        self._own = own
        self._of_thread: ContextVar[TextIO | None] = ContextVar("_of_thread", default=None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of_thread.get() or self._own, name)

    @contextmanager
    def going_to(self, stream: TextIO) -> Iterator[None]:
        """Send what this thread writes inside the ``with`` block to a stream."""
        token = self._of_thread.set(stream)
        try:
            yield
        finally:
            self._of_thread.reset(token)


class JobStreams:
    """Puts itself in place of standard output and error; warnings then appear once a job, as in its own process."""

    def __init__(self) -> None:
        self._streams = (ThreadStream(sys.stdout), ThreadStream(sys.stderr))
        self._shown: ContextVar[set[tuple[str, ...]] | None] = ContextVar("_shown", default=None)
        self._show = warnings.showwarning

    def install(self) -> None:
        """Take the place for good; before libraries are loaded that keep standard error for their own messages."""
        sys.stdout, sys.stderr = self._streams  # type: ignore[assignment]  passes everything on
        warnings.filterwarnings("always", append=True)
        warnings.showwarning = self._show_once

    @contextmanager
    def of_client(self, descriptors: Sequence[int], encodings: Sequence[Sequence[str]]) -> Iterator[None]:
        """Send this thread's output to the descriptors, which are closed at the end."""
        token = self._shown.set(set())
        try:
            with ExitStack() as stack:
                for proxy, descriptor, encoding in zip(self._streams, descriptors, encodings, strict=True):
                    stream = _opened(descriptor, encoding, line_buffering=proxy is self._streams[1])
                    stack.callback(_close, stream)
                    stack.enter_context(proxy.going_to(stream))
                yield
        finally:
            self._shown.reset(token)

    def _show_once(self, message: Any, category: Any, filename: str, lineno: int, *rest: Any) -> None:
        """Show a warning unless this job has; every job is told, whatever earlier ones were."""
        shown = self._shown.get()
        key = (str(message), category.__name__, filename, str(lineno))
        if shown is None or key not in shown:
            self._show(message, category, filename, lineno, *rest)
        if shown is not None:
            shown.add(key)


def _opened(descriptor: int, encoding: Sequence[str], *, line_buffering: bool) -> TextIO:
    """Return a stream that buffers as Python's own would: standard error by lines, output too on a terminal."""
    raw = io.FileIO(descriptor, "w")
    name, errors = encoding
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=name, errors=errors, line_buffering=line_buffering or raw.isatty()
    )


def _close(stream: TextIO) -> None:
    """Close a stream whose reader may have gone."""
    with suppress(OSError):
        stream.close()
