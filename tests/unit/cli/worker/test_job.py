"""Jobs of the worker, and their turn on the device."""

from __future__ import annotations

import threading
import time

import pytest

from synthseg_core.cli.worker.job import Gate, JobTimer


class GoneError(BaseException):
    """As raised for a client that has gone."""


def stay():
    """Do as a client that waits does."""


@pytest.mark.parametrize("slots", [1, 2])
def test_gate_lets_as_many_compute_as_it_has_slots(slots):
    gate = Gate(slots, frozenset({"network"}))
    inside, most = [], []

    def job():
        times = JobTimer(gate, stay)
        with times.phase("read"), times.phase("network"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=job) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == slots
    assert len(most) == 6


def test_stage_within_a_stage_needs_no_second_slot():
    times = JobTimer(Gate(1, frozenset({"network", "parcels"})), stay)
    with times.phase("network"), times.phase("parcels"):
        pass
    with times.phase("parcels"):
        pass
    assert list(times.seconds) == ["waiting", "parcels", "network"]


def test_slot_is_free_again_after_a_fault():
    gate = Gate(1, frozenset({"network"}))
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"), JobTimer(gate, stay).phase("network"):
            raise ValueError("bad")


def test_job_without_a_client_leaves_the_queue():
    gate = Gate(1, frozenset({"network"}))
    answers = iter([None, GoneError])

    def ask():
        if next(answers) is not None:
            raise GoneError

    with JobTimer(gate, stay).phase("network"), pytest.raises(GoneError), JobTimer(gate, ask).phase("network"):
        pytest.fail("two at once")
