"""The loop: draws are numbered, results are in the folder, a resume changes nothing, NaN stops."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
import torch

from synthseg_core.errors import InputError, TrainingError, UsageError, WeightsError
from synthseg_core.networks.config import UNetConfig
from synthseg_core.networks.unet import UNet
from synthseg_core.synth.randomness import sample_seed
from synthseg_core.system.settings import update
from synthseg_core.training.checkpoint import read_checkpoint
from synthseg_core.training.config import Intervals, OptimiserConfig, Stage
from synthseg_core.training.log import read_rows
from synthseg_core.training.loop import run_training
from synthseg_core.training.run import RunOptions
from synthseg_core.training.schedule import Schedule
from synthseg_core.training.start import initialise
from synthseg_core.training.validation import DrawValidation
from tests.unit.training.training_source import NETWORK, Balls, tiny_config


def _equal(first, second) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def _weights(folder):
    content = read_checkpoint(folder / "last.pt")
    return content["network"] | {f"average {name}": value for name, value in content["average"]["values"].items()}


def test_kernels_are_glorot_uniform_and_biases_zero():
    net = initialise(UNet(NETWORK), torch.Generator().manual_seed(1))
    weight = net.down[1].conv0.weight
    bound = (6 / (27 * (weight.shape[0] + weight.shape[1]))) ** 0.5
    assert 0.9 * bound < weight.abs().max() <= bound
    assert net.down[1].conv0.bias.abs().max() == 0
    assert torch.equal(weight, initialise(UNet(NETWORK), torch.Generator().manual_seed(1)).down[1].conv0.weight)


def test_a_training_leaves_log_checkpoint_and_configuration(tmp_path):
    source = Balls()
    outcome = run_training(tiny_config(), source, tmp_path)
    assert outcome.step == 6
    rows = read_rows(tmp_path / "log.tsv")
    assert [row["stage"] for row in rows] == ["weighted_l2"] * 2 + ["dice"] * 4
    assert float(rows[0]["loss"]) == pytest.approx(25, abs=5)
    assert source.asked == [sample_seed(0, number) for number in range(6)]
    assert json.loads((tmp_path / "config.json").read_text())["training"]["network"]["features"] == 2


def test_twenty_steps_are_ten_and_a_resume_and_ten(tmp_path):
    optimiser = OptimiserConfig("adamw", 2e-3, clip_norm=1.0)
    whole = tiny_config(stages=(Stage("weighted_l2", 8), Stage("dice", 12, 0.5)), optimiser=optimiser, batch_size=2)
    run_training(whole, Balls(), tmp_path / "whole")

    class Stopped(Balls):
        def batch(self, seeds):
            if len(self.asked) == 20:
                raise KeyboardInterrupt
            return super().batch(seeds)

    whole_again = tiny_config(stages=whole.stages, optimiser=optimiser, batch_size=2, intervals=Intervals(1, 5, 0, 0))
    with pytest.raises(KeyboardInterrupt):
        run_training(whole_again, Stopped(), tmp_path / "parts")
    assert read_checkpoint(tmp_path / "parts" / "last.pt")["step"] == 10
    run_training(whole_again, Balls(), tmp_path / "parts")
    assert _equal(_weights(tmp_path / "whole"), _weights(tmp_path / "parts"))
    losses = [[row["loss"] for row in read_rows(tmp_path / name / "log.tsv")] for name in ("whole", "parts")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 20


def test_a_finished_training_can_be_prolonged(tmp_path):
    run_training(tiny_config(stages=(Stage("dice", 3),)), Balls(), tmp_path / "a")
    run_training(tiny_config(stages=(Stage("dice", 6),)), Balls(), tmp_path / "a")
    run_training(tiny_config(stages=(Stage("dice", 6),)), Balls(), tmp_path / "b")
    assert _equal(_weights(tmp_path / "a"), _weights(tmp_path / "b"))


def test_resuming_another_training_is_refused(tmp_path):
    run_training(tiny_config(), Balls(), tmp_path, data={"recipe": "tiny"})
    with pytest.raises(UsageError, match=r"config\.seed 0 instead of 1"):
        run_training(tiny_config(seed=1), Balls(), tmp_path, data={"recipe": "tiny"})
    with pytest.raises(UsageError, match=r"data\.recipe"):
        run_training(tiny_config(), Balls(), tmp_path, data={"recipe": "official"})


def test_a_damaged_checkpoint_is_one_clear_line(tmp_path):
    (tmp_path / "last.pt").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="last.pt: found no readable checkpoint"):
        run_training(tiny_config(), Balls(), tmp_path)


def test_accumulation_equals_one_large_batch_but_for_batch_norm(tmp_path):
    """Every sample alone: draws and number of steps are the same, statistics are those of each pass."""
    at_once, in_turn = Balls(), Balls()
    run_training(tiny_config(batch_size=2), at_once, tmp_path / "a")
    run_training(tiny_config(batch_size=2, micro_batch=1), in_turn, tmp_path / "b")
    assert at_once.asked == in_turn.asked
    assert len(in_turn.asked) == 12


def test_a_loss_that_is_no_number_stops_and_names_the_sample(tmp_path):
    bad = sample_seed(0, 3)
    with pytest.raises(TrainingError, match="step 4"):
        run_training(tiny_config(intervals=Intervals(1, 1, 0, 0)), Balls(bad=[bad]), tmp_path)
    kept = json.loads((tmp_path / "failure" / f"step-0000003-seed-{bad}.json").read_text())
    assert [sample["seed"] for sample in kept["samples"]] == [bad]
    content = read_checkpoint(tmp_path / "last.pt")
    assert content["step"] == 3
    assert all(torch.isfinite(value).all() for value in content["network"].values())


def test_the_draw_of_a_failure_makes_the_sample_again(tmp_path):
    from synthseg_core.cli.demo.heads import write_heads
    from synthseg_core.synth import BrainGenerator, Draw, read_recipe
    from synthseg_core.synth.maps import read_maps

    recipe = update(read_recipe("tiny"), {"map_step": 1, "crop": {"shape": [16, 16, 16]}}, "recipe")
    generator = BrainGenerator(read_maps(write_heads(tmp_path / "maps", 1, voxel_size_mm=4.0), recipe), recipe)

    class Spoilt(BrainGenerator):
        def batch(self, seeds):
            images, class_index = super().batch(seeds)
            return images * float("inf"), class_index

    config = tiny_config(network=UNetConfig(out_channels=5, features=2, levels=2))
    with pytest.raises(TrainingError, match="failure"):
        run_training(config, Spoilt(generator.maps, recipe), tmp_path / "run")
    (path,) = (tmp_path / "run" / "failure").iterdir()
    (kept,) = json.loads(path.read_text())["samples"]
    again = generator.apply(Draw.from_json(json.dumps(kept["draw"])))
    assert torch.equal(again.image, generator.sample(kept["seed"]).image)


def test_too_little_memory_says_what_helps(tmp_path):
    class Greedy(Balls):
        def batch(self, seeds):
            raise torch.OutOfMemoryError

    with pytest.raises(InputError, match="--gradient-checkpointing"):
        run_training(tiny_config(), Greedy(), tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": UNetConfig(in_channels=2, out_channels=3, features=2, levels=3)}, "1 image channels"),
        ({"network": UNetConfig(out_channels=2, features=2, levels=3)}, "class 2"),
        ({"network": UNetConfig(out_channels=3, features=2, levels=4)}, "divisible by 8"),
        ({"network": UNetConfig(out_channels=3, features=2, levels=2), "precision": "bfloat16"}, None),
    ],
)
def test_samples_that_do_not_suit_the_network_are_refused(tmp_path, change, said):
    with pytest.raises(InputError, match=said) if said else contextlib.nullcontext():
        run_training(tiny_config(**change), Balls(), tmp_path)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns(tmp_path, precision):
    config = tiny_config(
        network=UNetConfig(out_channels=3, features=4, levels=3),
        stages=(Stage("dice", 80, 0.5),),
        optimiser=OptimiserConfig("adamw", 1e-2, clip_norm=1.0, schedule=Schedule("one_cycle", 0.3)),
        precision=precision,
        ema_decay=0.9,
        intervals=Intervals(log=5, checkpoint=1000, validate=40, snapshot=0),
    )
    outcome = run_training(config, Balls(), tmp_path, validate=DrawValidation(Balls(), range(900, 906)))
    losses = [float(row["loss"]) for row in read_rows(tmp_path / "log.tsv")]
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
    assert outcome.best_score > 0.5
    best = read_checkpoint(tmp_path / "best.pt")
    assert best["score"] == outcome.best_score
    assert best["step"] == outcome.best_step


def test_samples_made_ahead_change_nothing_but_when_they_are_made(tmp_path):
    source = Balls()
    config = tiny_config(batch_size=4, micro_batch=2)
    run_training(config, source, tmp_path / "ahead", options=RunOptions(ahead=True))
    run_training(config, Balls(), tmp_path / "in turn")
    assert _equal(_weights(tmp_path / "ahead"), _weights(tmp_path / "in turn"))
    assert source.asked == [sample_seed(0, number) for number in range(4 * 6)]


def test_a_sample_made_ahead_that_is_no_number_stops_its_own_step(tmp_path):
    bad = sample_seed(0, 3)
    with pytest.raises(TrainingError, match="step 4"):
        run_training(tiny_config(), Balls([bad]), tmp_path, options=RunOptions(ahead=True))
    assert [path.name for path in (tmp_path / "failure").iterdir()] == [f"step-0000003-seed-{bad}.json"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_a_compiled_network_learns_the_same(tmp_path):
    """And leaves the same files, which the other takes up."""
    for name, compiled in (("compiled", True), ("plain", False)):
        run_training(tiny_config(compiled=compiled), Balls(), tmp_path / name)
    first, second = (_weights(tmp_path / name) for name in ("compiled", "plain"))
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-4)
    longer = tiny_config(stages=(Stage("weighted_l2", 2), Stage("dice", 6)))
    assert run_training(longer, Balls(), tmp_path / "compiled").step == 8
