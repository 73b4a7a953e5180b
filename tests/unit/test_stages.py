"""Times by stage: order of first use, sums, and stages that fail."""

from __future__ import annotations

import pytest

from synthseg_core import stages
from synthseg_core.stages import StageTimes


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances when told to."""
    now = [100.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def test_seconds_add_up_in_order_of_first_use(clock):
    times = StageTimes()
    for name, seconds in (("network", 2.0), ("conform", 1.0), ("network", 0.5)):
        with times.stage(name):
            clock(seconds)
        clock(10)
    assert list(times.seconds.items()) == [("network", 2.5), ("conform", 1.0)]


def test_stage_that_fails_counts(clock):
    times = StageTimes()

    def fail() -> None:
        clock(3)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), times.stage("network"):
        fail()
    assert times.seconds == {"network": 3.0}


def test_instances_do_not_share_times():
    with StageTimes().stage("network"):
        pass
    assert StageTimes().seconds == {}
