"""Times by stage: order of first use, sums, and stages that fail."""

from __future__ import annotations

import threading

import pytest

from synthseg_core.system import timing
from synthseg_core.system.timing import Timer, collected, current


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances when told to."""
    now = [100.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def test_seconds_add_up_in_order_of_first_use(clock):
    times = Timer()
    for name, seconds in (("network", 2.0), ("conform", 1.0), ("network", 0.5)):
        with times.phase(name):
            clock(seconds)
        clock(10)
    assert list(times.seconds.items()) == [("network", 2.5), ("conform", 1.0)]


def test_stage_that_fails_counts(clock):
    times = Timer()

    def fail() -> None:
        clock(3)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), times.phase("network"):
        fail()
    assert times.seconds == {"network": 3.0}


def test_instances_do_not_share_times():
    with Timer().phase("network"):
        pass
    assert Timer().seconds == {}


def test_collector_gets_the_stages_of_the_block(clock):
    with collected() as times:
        with current().phase("network"):
            clock(2)
        with current().phase("load"):
            clock(1)
    with current().phase("network"):
        clock(5)
    assert times.seconds == {"network": 2.0, "load": 1.0}


def test_inner_collector_wins_and_ends(clock):
    """Also when both hold the same times, for instance none yet."""
    with collected() as outer:
        with collected() as inner:
            assert current() is inner
        assert current() is outer
        with current().phase("network"):
            clock(1)
    assert (outer.seconds, inner.seconds) == ({"network": 1.0}, {})
    assert current() is not outer


def test_collector_ends_after_an_error():
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), collected() as times:
        fail()
    assert current() is not times


def test_collector_hears_other_threads(clock):
    def work() -> None:
        with current().phase("network"):
            clock(4)

    with collected() as times:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert times.seconds == {"network": 4.0}
