"""Time budgets: durations, what is kept for the end, and a training that stops in time and goes on after."""

from __future__ import annotations

import time

import pytest

from synthseg_core.errors import UsageError
from synthseg_core.training.budget import affordable, parse_duration, reserve_s
from synthseg_core.training.checkpoint import read_checkpoint
from synthseg_core.training.config import Intervals, OptimiserConfig, Stage
from synthseg_core.training.log import read_rows
from synthseg_core.training.loop import run_training
from synthseg_core.training.run import RunOptions
from synthseg_core.training.schedule import Schedule
from synthseg_core.training.validation import DrawValidation
from tests.unit.training.training_source import Balls, tiny_config


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("25m", 1500), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172800), ("1h 30m", 5400), ("10S", 10)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "25", "m", "25 minutes", "-3m", "0s", "1h30", "3x", "nan"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="25m"):
        parse_duration(text)


def test_what_is_kept_for_the_end():
    assert reserve_s(1000, 2, 30) == 42
    assert reserve_s(10, 2, 300) == 9  # some steps are taken in any case


def test_validations_take_a_tenth_of_the_time_at_most():
    assert affordable(100, 5, 5)
    assert not affordable(99, 5, 5)


def _budgeted(budget_s: float):
    return tiny_config(
        stages=(Stage("weighted_l2", 200_000), Stage("dice", 200_000)),
        optimiser=OptimiserConfig(learning_rate=1e-3, schedule=Schedule("cosine")),
        budget_s=budget_s,
        intervals=Intervals(log=5, checkpoint=50, validate=10, snapshot=0),
    )


def test_it_stops_in_time_with_all_stages_done_and_a_usable_model(tmp_path):
    validate = DrawValidation(Balls(), [1])
    began = time.monotonic()
    outcome = run_training(_budgeted(3.0), Balls(), tmp_path, validate=validate, options=RunOptions(began=began))
    spent = time.monotonic() - began
    assert outcome.finished
    assert 2.0 < spent < 4.0
    rows = read_rows(tmp_path / "log.tsv")
    assert {row["stage"] for row in rows} == {"weighted_l2", "dice"}
    assert float(rows[-1]["learning_rate"]) < 1e-5
    share = sum(row["stage"] == "weighted_l2" for row in rows) / len(rows)
    assert 0 < share < 0.6  # half of the time, but the very first steps are slow
    assert read_checkpoint(tmp_path / "best.pt")["score"] == outcome.best_score
    assert int(read_rows(tmp_path / "validation.tsv")[-1]["step"]) == outcome.step

    again = run_training(_budgeted(3.0), Balls(), tmp_path, validate=validate)
    assert again.step == outcome.step


def test_a_resume_has_what_is_left_of_the_budget(tmp_path):
    first = run_training(_budgeted(1.0), Balls(), tmp_path)
    began = time.monotonic()
    second = run_training(_budgeted(2.0), Balls(), tmp_path)
    assert time.monotonic() - began < 1.9
    assert second.step > first.step
    assert second.seconds < 2.7
