"""Batch norm in training: statistics of the samples, or the running ones that prediction uses."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.training.checkpoint import read_checkpoint
from synthseg_core.training.config import Stage
from synthseg_core.training.loop import run_training
from tests.unit.training.training_source import Balls, tiny_config


def _network(folder, *stages):
    run_training(tiny_config(stages=stages), Balls(), folder)
    return read_checkpoint(folder / "last.pt")["network"]


def _changed(first, second, kind):
    return [name for name in first if kind in name and not torch.equal(first[name], second[name])]


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_stage_leaves_running_statistics_and_trains_everything_else(tmp_path, frozen):
    before = _network(tmp_path / "before", Stage("dice", 3))
    after = _network(tmp_path / "after", Stage("dice", 3), Stage("dice", 2, frozen_norms=frozen))
    running = [*_changed(before, after, "running_mean"), *_changed(before, after, "running_var")]
    assert bool(running) != frozen
    assert _changed(before, after, "conv1.weight")
    assert _changed(before, after, "norm.weight")


def test_a_frozen_stage_uses_other_statistics_than_those_of_the_sample(tmp_path):
    """The same network on the same sample: losses differ between the two kinds of statistics."""
    losses = {}
    for frozen in (True, False):
        folder = tmp_path / str(frozen)
        run_training(tiny_config(stages=(Stage("dice", 3), Stage("dice", 1, frozen_norms=frozen))), Balls(), folder)
        losses[frozen] = (folder / "log.tsv").read_text().splitlines()[-1].split("\t")[2]
    assert losses[True] != losses[False]
