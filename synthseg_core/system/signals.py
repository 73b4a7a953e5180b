"""What ends a command from outside: its reader has gone, or somebody asks it to stop.

A closed pipe (``synthseg models list | head``) ends it quietly; a stream that is closed from the start is as good as
none; SIGTERM is an interrupt like Ctrl-C; what must not be torn apart, such as a step of a training, notes the signal
and stops afterwards; and a program that has said its last line keeps the status that it ends with.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# The shell's status for a program that writes to a closed pipe: 128 and the number of SIGPIPE, which Windows lacks.
STATUS = 141
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STREAMS = ("stdin", "stdout", "stderr")


def run_for_reader(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; without a traceback :data:`STATUS` when its reader has gone."""
    open_standard_streams()
    try:
        return _flushed(command)
    except BrokenPipeError:
        _silence_stdout()
        return STATUS


def open_standard_streams() -> None:
    """Let what is said into a closed standard stream (``command >&-``) go nowhere.

    Without this, Python has no such stream, and the next file that is opened would get its number and what other
    programs write to it.
    """
    for number, name in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def keep_status_on_leaving() -> None:
    """Let an interrupt while the interpreter is left change nothing: the work is done, and its status decided.

    Python gives signals back to the system before it has taken itself apart, which takes a moment where much is loaded;
    one that comes then would end the process as if its work had been interrupted.
    """
    atexit.unregister(_ignore_signals)
    atexit.register(_ignore_signals)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _flushed(command: Callable[[], int]) -> int:
    """Empty the buffer here: on leaving the interpreter a closed pipe can no longer be handled."""
    try:
        status = command()
    except SystemExit:  # help and version
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return status


def _silence_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not complain about it on leaving."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Within the block, SIGTERM raises ``KeyboardInterrupt``, as SIGINT does; schedulers and ``kill`` send it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


class Interruption:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def deferred() -> Iterator[Interruption]:
    """Note the first signal instead of obeying it; the second has its usual effect. Only in the main thread."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def note(number: int, _frame: FrameType | None) -> None:
        interruption.asked = True
        signal.signal(number, before[number])  # type: ignore[index]

    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
