"""Cores and memory of a run, with their units."""

from __future__ import annotations

import pytest

from synthseg_core.app.machine import available_cores, machine_text, memory_text


@pytest.mark.parametrize(
    ("cores", "resources", "text"),
    [
        (8, ("gpu=1", "mem_mb=16000"), "8 CPU cores and 16 GB of memory for all jobs"),
        (1, ("mem_mb=900",), "1 CPU core and 900 MB of memory for all jobs"),
        (8, ("mem_mb=16000000",), "8 CPU cores and 16000 GB of memory for all jobs, though this machine has 64 GB"),
        (9, ("mem_mb=1000",), "9 CPU cores and 1 GB of memory for all jobs, though this machine has 8 CPU cores"),
        (
            *(12, ("mem_mb=99000",)),
            "12 CPU cores and 99 GB of memory for all jobs, though this machine has 8 CPU cores and 64 GB",
        ),
    ],
)
def test_amounts_that_result_are_told_with_their_unit(monkeypatch, cores, resources, text):
    monkeypatch.setattr("synthseg_core.app.machine.physical_bytes", lambda: 64 * 10**9)
    monkeypatch.setattr("synthseg_core.app.machine.available_cores", lambda: 8)
    assert machine_text(cores, resources) == text


def test_amounts_are_rounded_for_reading():
    assert [memory_text(number) for number in (1, 999, 1000, 33547, 10**6)] == [
        *("1 MB", "999 MB", "1 GB", "33.5 GB", "1000 GB")
    ]


def test_this_machine_has_a_core():
    assert available_cores() >= 1
