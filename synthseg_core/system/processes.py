"""Processes of this computer: whether one is alive, how one ends with its parent, calls made by several at once."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

_Made = TypeVar("_Made")

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def is_alive(pid: int) -> bool:
    """Say whether a process of this computer exists and has not ended; one that nobody waited for yet has."""
    if os.name != "posix":  # elsewhere the question would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Say whether a process has ended and only its parent does not know; Linux tells."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in ("Z", "X")
    return False


def end_with_parent() -> Callable[[], None]:
    """Return what a process calls to be terminated when its parent dies; it does nothing where only Linux can.

    All is loaded before, so that it may be called between a fork and the new program.
    """
    if sys.platform != "linux":
        return lambda: None
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return ask


def in_order(
    function: Callable[..., _Made],
    calls: Sequence[tuple[Any, ...]],
    *,
    jobs: int,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[_Made]:
    """Yield the results of calls in their order, of which few wait in memory.

    Parameters
    ----------
    function
        Of a module, so that another process finds it.
    calls
        Its arguments.
    jobs
        Calls at once; with 1 no process is started.
    progress
        Called with the number of results and of calls.
    """
    alone = jobs <= 1 or len(calls) < 2
    made = (function(*call) for call in calls) if alone else _at_once(function, calls, jobs)
    for number, result in enumerate(made, 1):
        if progress is not None:
            progress(number, len(calls))
        yield result


def _at_once(function: Callable[..., _Made], calls: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[_Made]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(calls)), mp_context=context) as pool:
        waiting = iter(calls)
        running: deque[Future[_Made]] = deque(pool.submit(function, *call) for call in islice(waiting, 2 * jobs))
        try:
            while running:
                result = running.popleft().result()
                running.extend(pool.submit(function, *call) for call in islice(waiting, 1))
                yield result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
