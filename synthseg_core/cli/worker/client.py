"""The thin client: hands a command to a worker and waits, without loading torch or numpy."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import BinaryIO

from synthseg_core.cli.worker.environment import is_per_scan, own_environment
from synthseg_core.cli.worker.messages import Request, send_request

# A worker answers at once, even while it loads torch; one that does not is stopped or hangs.
_PATIENCE_S = 30.0


def run_in_worker(address: str, words: Sequence[str]) -> int | None:
    """Let the worker at a socket run a command whose output comes out of this process.

    Parameters
    ----------
    address
        The socket; may be empty or missing.
    words
        Subcommand and its arguments.

    Returns
    -------
    int or None
        The command's exit status; ``None`` if it is to be run in this process, after a line on standard error where a
        worker was there but refused or died.
    """
    if not address or not is_per_scan(words):
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE_S)
        try:
            connection.connect(address)
        except OSError:  # nobody there, closed to us, or no name of a socket
            return None
        try:
            return _exchange(connection, words)
        except OSError as error:
            return _explain(f"the worker could not be asked ({error})")


def _exchange(connection: socket.socket, words: Sequence[str]) -> int | None:
    try:
        request, descriptors = _request(words), _descriptors()
    except (OSError, ValueError, AttributeError):  # standard output is no file, or the working folder is gone
        return None
    send_request(connection, request, descriptors)
    with connection.makefile("rb") as answers:
        kind, text = _answer(answers)
        if kind == "declined":
            return _explain(f"the worker declined ({text})")
        connection.settimeout(None)
        if kind == "taken":
            kind, text = _answer(answers)
    return int(text) if kind == "ended" else _explain("the worker died")


def _request(words: Sequence[str]) -> Request:
    encodings = [(stream.encoding, stream.errors or "strict") for stream in (sys.stdout, sys.stderr)]
    return Request(list(words), encodings, own_environment())


def _descriptors() -> list[int]:
    """Return the descriptors that output goes to, with nothing left in buffers."""
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.flush()
    return [stream.fileno() for stream in streams]


def _answer(answers: BinaryIO) -> tuple[str, str]:
    """Return the next answer; empty words when the worker has gone."""
    kind, _, text = answers.readline().decode().rstrip("\n").partition(" ")
    return kind, text


def _explain(reason: str) -> None:
    sys.stderr.write(f"synthseg: note: {reason}; the command runs in a process of its own\n")
    sys.stderr.flush()
