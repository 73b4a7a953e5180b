"""Fixtures of the tests of downloads: a server on this machine, and the file that is fetched from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.models.downloads import forget_proxies
from tests.unit.models.loopback_server import Loopback, loopback


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A running server, reached without the proxies of the machine that the tests run on."""
    forget_proxies(monkeypatch)
    with loopback() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where a download goes: a file in a folder that is not there yet."""
    return tmp_path / "cache" / "net.h5"
