"""What a training says: rows that survive a kill, one stage a row, the progress line, events."""

from __future__ import annotations

import sys
import types

from synthseg_core.training.config import Intervals, Stage
from synthseg_core.training.log import Table, read_rows
from synthseg_core.training.loop import run_training
from synthseg_core.training.recorder import Report, duration, text_of
from synthseg_core.training.run import RunOptions
from tests.unit.training.training_source import Balls, tiny_config

REPORT = Report(230, 1000, "dice", 0.51234, 1.257, 3725.0)


def test_rows_after_the_checkpoint_and_cut_ones_are_dropped(tmp_path):
    path = tmp_path / "log.tsv"
    path.write_text("step\tloss\n10\t0.5\n20\t0.4\n30\t0.3\n4")
    table = Table(path, ("step", "loss"), after=20)
    table.add({"step": 21, "loss": "0.39"})
    assert [(row["step"], row["loss"]) for row in read_rows(path)] == [("10", "0.5"), ("20", "0.4"), ("21", "0.39")]


def test_a_row_is_about_one_stage(tmp_path):
    config = tiny_config(
        stages=(Stage("weighted_l2", 3), Stage("dice", 4)),
        intervals=Intervals(log=5, checkpoint=100, validate=0, snapshot=0),
    )
    run_training(config, Balls(), tmp_path)
    rows = [(row["step"], row["stage"]) for row in read_rows(tmp_path / "log.tsv")]
    assert rows == [("3", "weighted_l2"), ("5", "dice"), ("7", "dice")]
    assert float(read_rows(tmp_path / "log.tsv")[1]["loss"]) < 1


def test_progress_line():
    text = text_of(REPORT, 3 * 2**30)
    assert text == "step 230/1000  dice  loss 0.5123  1.26 samples/s  3.0 GiB  1:02:05 left"
    unbounded = Report(230, None, "dice", 0.5, 1.0, 59.9)
    assert text_of(unbounded, 0).startswith("step 230  dice")
    assert text_of(unbounded, 0).endswith("0:59 left")
    assert duration(-3) == "0:00"


def test_events(tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            written.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            written.append((name, step))

        def close(self):
            written.append("closed")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=SummaryWriter))
    config = tiny_config(stages=(Stage("dice", 2),))
    run_training(config, Balls(), tmp_path, options=RunOptions(tensorboard=True))
    assert written[0] == (str(tmp_path / "tensorboard"), 1)
    assert ("loss", 2) in written
    assert ("learning_rate", 1) in written
    assert written[-1] == "closed"
