"""Requests over a socket: whole ones with their descriptors, and nonsense."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthseg_core.cli.worker.messages import receive_request


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def send(connection: socket.socket, head: bytes, text: bytes, descriptors: int) -> None:
    read, write = os.pipe()
    socket.send_fds(connection, [head], [read, write][:descriptors])
    connection.sendall(text)
    os.close(read)
    os.close(write)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize(
    ("head", "text", "descriptors"),
    [
        ((2).to_bytes(4, "big"), b"{}", 0),
        ((2).to_bytes(4, "big"), b"{}", 1),
        ((2).to_bytes(4, "big"), b"{x", 2),
        ((2).to_bytes(4, "big"), b"{}", 2),
        ((1 << 30).to_bytes(4, "big"), b"{}", 2),
        (b"GET", b"", 2),
        ((9).to_bytes(4, "big"), b"{}", 2),
    ],
)
def test_nonsense_is_refused_and_its_descriptors_closed(pair, head, text, descriptors):
    before = open_descriptors()
    send(pair[0], head, text, descriptors)
    pair[0].shutdown(socket.SHUT_WR)
    with pytest.raises((ValueError, TypeError)):
        receive_request(pair[1])
    assert open_descriptors() == before
