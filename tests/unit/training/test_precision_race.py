"""The race of number formats: who wins, that it leaves a training alone, and that its answer is kept."""

from __future__ import annotations

import itertools
import json

import pytest
import torch

from synthseg_core.networks.config import UNetConfig
from synthseg_core.training import precision_race
from synthseg_core.training.precision_race import RaceResult, fastest_precision, race

NETWORK = UNetConfig(out_channels=3, features=2, levels=2)
CPU = torch.device("cpu")


@pytest.fixture
def laps():
    """Put made-up seconds in place of real steps; returns the formats in the order they ran."""

    def run(**seconds: float):
        now, ran = [0.0], []

        def step(name):
            ran.append(name)
            now[0] += seconds[name]

        return race(lambda: step, CPU, clock=lambda: now[0]), ran

    return run


@pytest.mark.parametrize(
    ("float32", "bfloat16", "winner"),
    [(1.0, 0.5, "bfloat16"), (0.5, 1.0, "float32"), (1.0, 0.95, "float32")],
    ids=["twice as fast", "half as fast", "hardly worth fewer digits"],
)
def test_the_fastest_wins(laps, float32, bfloat16, winner):
    result, ran = laps(float32=float32, bfloat16=bfloat16)
    assert (result.precision, dict(result.seconds)) == (
        winner,
        pytest.approx({"float32": float32, "bfloat16": bfloat16}),
    )
    assert ran == ["float32", "bfloat16"] * 3


def test_an_emulated_format_runs_once(laps):
    result, ran = laps(float32=1.0, bfloat16=20.0)
    assert result.precision == "float32"
    assert ran.count("bfloat16") == 1


def test_what_the_first_lap_costs_does_not_count():
    cost = iter([9.0, 5.0, 1.0, 4.0, 1.5, 4.5])
    now = [0.0]
    step = lambda name: now.__setitem__(0, now[0] + next(cost))  # noqa: E731
    assert race(lambda: step, CPU, clock=lambda: now[0]).seconds == {"float32": 1.0, "bfloat16": 4.0}


def test_a_real_race_times_both_and_leaves_the_random_numbers():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    result = race(lambda: precision_race._step(NETWORK, CPU), CPU)
    assert torch.equal(torch.rand(2), expected)
    assert all(seconds > 0 for seconds in result.seconds.values())
    assert result.precision in result.seconds


def test_one_format_needs_no_race():
    assert race(lambda: pytest.fail("a step"), torch.device("meta")) == RaceResult("float32", {})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keep results in a folder of this test, and count the races."""
    monkeypatch.setattr(precision_race, "user_cache", lambda: tmp_path / "cache")
    counter = itertools.count(1)
    monkeypatch.setattr(
        precision_race, "race", lambda *_: RaceResult("bfloat16", {"float32": float(next(counter)), "bfloat16": 0.5})
    )
    return tmp_path / "cache" / "precision"


def test_the_answer_is_kept_for_network_and_machine(cache, monkeypatch):
    first = fastest_precision(NETWORK, CPU)
    assert fastest_precision(NETWORK, CPU) == first
    assert fastest_precision(UNetConfig(features=4, levels=2), CPU).seconds["float32"] == 2.0
    monkeypatch.setattr(precision_race, "processor_identity", lambda: "another processor of the same name")
    assert fastest_precision(NETWORK, CPU).seconds["float32"] == 3.0
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("content", ["", "[]", '{"precision": "int4", "seconds": {"float32": 1, "bfloat16": 1}}', "{}"])
def test_a_damaged_answer_is_asked_for_again(cache, content):
    fastest_precision(NETWORK, CPU)
    (file,) = cache.iterdir()
    file.write_text(content)
    assert fastest_precision(NETWORK, CPU).seconds["float32"] == 2.0
    assert json.loads(file.read_text())["precision"] == "bfloat16"


def test_without_a_place_for_the_answer_there_is_one_all_the_same(cache, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert fastest_precision(NETWORK, CPU).precision == "bfloat16"
    monkeypatch.setattr(precision_race, "user_cache", lambda: None)
    assert fastest_precision(NETWORK, CPU).precision == "bfloat16"


def test_the_result_reads_as_a_line():
    result = RaceResult("float32", {"float32": 0.51, "bfloat16": 1.04})
    assert str(result) == "float32 (a small step took float32 0.51 s, bfloat16 1.04 s)"
