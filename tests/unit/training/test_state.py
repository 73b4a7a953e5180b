"""The state of a training: its stage at a step, under steps and under a budget."""

from __future__ import annotations

from synthseg_core.networks.config import UNetConfig
from synthseg_core.training.config import Stage, TrainConfig
from synthseg_core.training.state import position


def _config(**settings) -> TrainConfig:
    stages = (Stage("weighted_l2", 3), Stage("dice", 7))
    return TrainConfig(network=UNetConfig(out_channels=2, features=2, levels=2), stages=stages, **settings)


def test_stages_change_at_their_step():
    config = _config()
    assert [position(config, step, 1e9).stage for step in range(11)] == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    assert position(config, 5, 0).progress == 0.5


def test_under_a_budget_time_drives_the_plan():
    config = _config(budget_s=100.0)
    assert position(config, 0, 29.0).stage == 0
    assert position(config, 0, 31.0).stage == 1
    assert position(config, 0, 50.0).progress == 0.5
    assert position(config, 8, 50.0).progress == 0.8  # steps are further
    assert position(config, 1, 101.0).progress == 1
