"""The line that counts files: only on a terminal, and gone afterwards."""

from __future__ import annotations

import io
import sys

import pytest

from synthseg_core.system.progress import CountLine


class _Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.isatty = lambda: terminal


def _shown(monkeypatch, terminal):
    stream = _Stream(terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    with CountLine("reading label maps") as progress:
        progress(1, 2)
        progress(2, 2)
    return stream.getvalue()


def test_on_a_terminal(monkeypatch):
    erase = "\r\x1b[K"
    assert _shown(monkeypatch, True) == (f"{erase}reading label maps: 1 of 2{erase}reading label maps: 2 of 2{erase}")


def test_nothing_elsewhere(monkeypatch):
    assert _shown(monkeypatch, False) == ""


def test_line_goes_before_an_error_is_printed(monkeypatch):
    stream = _Stream(True)
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(ZeroDivisionError), CountLine("x") as progress:
        progress(1, 1 // 0)
    assert stream.getvalue() == "\r\x1b[K"
