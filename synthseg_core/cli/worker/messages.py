"""What client and worker say to each other over the socket.

A client sends one request, the length of its JSON text before it, and with it the descriptors of its standard output
and error, into which the worker writes. The worker answers in lines: ``taken`` or ``declined REASON``, and at the end
``ended STATUS``. Nothing more is ever sent by a client, so that a readable connection means that it has gone.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any, NamedTuple

_LENGTH_BYTES = 4
_MOST_BYTES = 1 << 24
_DESCRIPTORS = 2


class Request(NamedTuple):
    """A command that a client wants to be run.

    Parameters
    ----------
    words
        The command line, the name of the program excepted.
    encodings
        Encoding and treatment of errors of standard output and error.
    environment
        What else it depends on; see :func:`synthseg_core.cli.worker.environment.own_environment`.
    """

    words: list[str]
    encodings: list[tuple[str, str]]
    environment: dict[str, Any]


def send_request(connection: socket.socket, request: Request, descriptors: list[int]) -> None:
    """Send a request with the descriptors of standard output and error."""
    text = json.dumps(request).encode()
    socket.send_fds(connection, [len(text).to_bytes(_LENGTH_BYTES, "big")], descriptors)
    connection.sendall(text)


def receive_request(connection: socket.socket) -> tuple[Request, list[int]]:
    """Receive a request with its descriptors, which then are the caller's to close; ``ValueError`` for nonsense."""
    head, descriptors, _, _ = socket.recv_fds(connection, _LENGTH_BYTES, _DESCRIPTORS)
    try:
        request = Request(*json.loads(_text(connection, head, len(descriptors))))
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return request, descriptors


def _text(connection: socket.socket, head: bytes, descriptors: int) -> bytes:
    """Receive the text whose length is told by the bytes before it."""
    length, text = int.from_bytes(head, "big"), b""
    if descriptors != _DESCRIPTORS or len(head) != _LENGTH_BYTES or length > _MOST_BYTES:
        raise ValueError("no request")
    while len(text) < length:
        if not (part := connection.recv(length - len(text))):
            raise ValueError("half a request")
        text += part
    return text
