"""The line that tells of progress: only on a terminal, and gone afterwards."""

from __future__ import annotations

import io
import sys

import pytest

from synthseg_core.system.progress import CountLine, StatusLine
from tests.phantoms.terminal import Terminal


def _shown(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with CountLine("reading label maps") as progress:
        progress(1, 2)
        progress(2, 2)
    return stream


def test_on_a_terminal(monkeypatch):
    stream = _shown(monkeypatch, Terminal())
    assert stream.shown() == ["reading label maps: 1 of 2", "reading label maps: 2 of 2"]
    assert stream.screen() == [""]


def test_nothing_elsewhere(monkeypatch):
    assert _shown(monkeypatch, io.StringIO()).getvalue() == ""


def test_line_goes_before_an_error_is_printed(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = CountLine("x")
    progress(0, 1)
    with pytest.raises(ZeroDivisionError), progress:
        progress(1, 1 // 0)
    assert stream.shown() == ["x: 0 of 1"]
    assert stream.screen() == [""]


def test_events_stand_above_the_line_and_in_logs():
    for stream in (Terminal(), io.StringIO()):
        line = StatusLine(stream)
        line.draw("a long text that is going on")
        line.say("one", "two")
        line.draw("short")
        line.close()
        if isinstance(stream, Terminal):
            assert stream.screen() == ["one", "two", ""]
        else:
            assert stream.getvalue() == "one\ntwo\n"


def test_a_text_leaves_nothing_of_a_longer_one():
    stream = Terminal()
    line = StatusLine(stream, leave=True)
    line.draw("a long text")
    line.draw("short")
    line.close()
    assert stream.screen() == ["short", ""]


def test_a_line_that_is_still_open_elsewhere_moves_no_other():
    elsewhere = StatusLine(Terminal())
    elsewhere.draw("open for as long as this test runs")
    stream = Terminal()
    line = StatusLine(stream, leave=True)
    line.draw("done")
    line.close()
    assert stream.screen() == ["done", ""]
    elsewhere.close()


def test_the_line_is_not_drawn_too_often(monkeypatch):
    now = [10.0]
    monkeypatch.setattr("synthseg_core.system.progress.time.monotonic", lambda: now[0])
    stream = Terminal()
    line = StatusLine(stream, interval_s=0.5)
    for seconds, text in ((0.0, "a"), (0.4, "b"), (0.2, "c"), (0.1, "d")):
        now[0] += seconds
        line.draw(text, at_once=text == "d")
    assert stream.shown() == ["a", "c", "d"]
