"""Commands whose standard output nobody reads any more, as in ``synthseg models list | head``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

# The shell's status for a program that writes to a closed pipe: 128 and the number of SIGPIPE, which Windows lacks.
STATUS = 141


def run_for_reader(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; without a traceback :data:`STATUS` when its reader has gone."""
    try:
        return _flushed(command)
    except BrokenPipeError:
        _silence_stdout()
        return STATUS


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
