"""Training configurations: JSON and back, and refusals in one line."""

from __future__ import annotations

import pytest

from synthseg_core.errors import UsageError
from synthseg_core.networks.config import UNetConfig
from synthseg_core.training.config import Intervals, OptimiserConfig, Stage, TrainConfig, fixed_part
from synthseg_core.training.schedule import Schedule


def test_json_and_back():
    config = TrainConfig(
        network=UNetConfig(out_channels=5, features=8, levels=3, skips=(0,)),
        stages=(Stage("weighted_l2", 2), Stage("dice", 3, 0.5)),
        optimiser=OptimiserConfig("adamw", 2e-3, weight_decay=0.01, clip_norm=1.0, schedule=Schedule("cosine", 0.1)),
        budget_s=60.0,
        intervals=Intervals(log=1),
    )
    assert TrainConfig.from_json(config.to_json()) == config
    assert TrainConfig.from_json({}) == TrainConfig()


def test_defaults_are_those_of_the_reference():
    config = TrainConfig()
    assert (config.optimiser.learning_rate, config.optimiser.betas, config.optimiser.epsilon) == (
        1e-4,
        (0.9, 0.999),
        1e-7,
    )
    assert config.steps == 505_000
    assert config.network == UNetConfig()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"stepps": 3}, "stepps"),
        ({"optimiser": {"learning_rate": "fast"}}, "learning_rate"),
        ({"optimiser": {"learning_rate": -1}}, "learning_rate"),
        ({"optimiser": {"kind": "adam", "weight_decay": 0.1}}, "adamw"),
        ({"optimiser": {"betas": [0.9]}}, "betas"),
        ({"optimiser": 3}, "optimiser"),
        ({"stages": []}, "stages"),
        ({"stages": [{"loss": "l3"}]}, "l3"),
        ({"stages": [{"steps": True}]}, "steps"),
        ({"stages": [{"steps": 0}]}, "steps"),
        ({"batch_size": 3, "micro_batch": 2}, "micro_batch"),
        ({"precision": "float8"}, "float8"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"budget_s": 0.0}, "budget"),
        ({"optimiser": {"schedule": {"kind": "cosin"}}}, "cosin"),
    ],
)
def test_refusals_name_the_entry(content, said):
    with pytest.raises(UsageError, match=said):
        TrainConfig.from_json(content)


def test_a_training_may_be_prolonged_and_moved_but_not_changed():
    config = TrainConfig(stages=(Stage(steps=5),))
    longer = TrainConfig(stages=(Stage(steps=9),), device="cpu", intervals=Intervals(log=3))
    assert fixed_part(config) == fixed_part(longer)
    assert fixed_part(config) != fixed_part(TrainConfig(stages=(Stage(steps=5),), seed=1))


def test_the_learning_rate_follows_the_root_of_the_batch_size_where_it_is_told_to():
    """Of all processes together, on top of the schedule."""
    schedule = Schedule("constant", warm_up=0.5)
    plain = TrainConfig(batch_size=4, optimiser=OptimiserConfig(schedule=schedule))
    assert (plain.rate_factor(0.25), plain.rate_factor(1.0)) == (0.5, 1.0)
    root = TrainConfig(batch_size=4, optimiser=OptimiserConfig(schedule=schedule, batch_rule="square_root"))
    assert (root.rate_factor(0.25), root.rate_factor(1.0)) == (1.0, 2.0)
    assert TrainConfig.from_json(root.to_json()) == root
    with pytest.raises(UsageError, match="batch_rule: found 'linear'; expected none or square_root"):
        OptimiserConfig(batch_rule="linear")


def test_smoothing_is_kept_where_it_says_something():
    config = TrainConfig(stages=(Stage(smoothing=1e-5), Stage()))
    assert [stage.get("smoothing") for stage in config.to_json()["stages"]] == [1e-5, None]
    assert TrainConfig.from_json(config.to_json()) == config
    assert fixed_part(config) != fixed_part(TrainConfig(stages=(Stage(), Stage())))
    with pytest.raises(UsageError, match="smoothing"):
        Stage(smoothing=0)
