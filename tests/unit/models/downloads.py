"""A published file, a listener and a few questions, shared by the tests of downloads."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from synthseg_core.models.card import WeightsFile
from synthseg_core.models.download import Watcher
from synthseg_core.models.http import Policy
from tests.unit.models.loopback_server import Loopback

FAST = Policy(timeout_s=5, attempts=3, wait_s=0, progress_bytes=1)
CONTENT = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 1600  # 409 608 bytes, several blocks


class Listener(Watcher):
    def __init__(self):
        self.notes, self.received = [], []

    def note(self, line):
        self.notes.append(line)

    def progress(self, received_bytes, size_bytes):
        self.received.append((received_bytes, size_bytes))


def forget_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tests independent of the proxies of the machine they run on."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def weights(*urls, content=CONTENT, **changes) -> WeightsFile:
    published = WeightsFile("net.h5", len(content), hashlib.sha256(content).hexdigest(), urls)
    return dataclasses.replace(published, **changes)


def assert_clean(target: Path) -> None:
    """The file is whole, and nothing but the lock lies beside it."""
    assert target.read_bytes() == CONTENT
    assert sorted(path.name for path in target.parent.iterdir()) == [".net.h5.lock", "net.h5"]


def starts(server: Loopback) -> list[int | None]:
    return [request.start for request in server.requests]
