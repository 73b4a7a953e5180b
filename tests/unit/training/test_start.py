"""Starting from given weights, gradient checkpointing, pictures, TensorBoard, stopping when asked."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from synthseg_core.errors import UsageError, WeightsError
from synthseg_core.labels.table import LabelTable
from synthseg_core.networks.config import UNetConfig
from synthseg_core.networks.unet import UNet
from synthseg_core.synth.randomness import sample_seed
from synthseg_core.training.checkpoint import read_checkpoint
from synthseg_core.training.config import OptimiserConfig, Stage
from synthseg_core.training.export import ModelPlan, export_model, trained_card
from synthseg_core.training.log import read_rows
from synthseg_core.training.loop import run_training
from synthseg_core.training.run import RunOptions
from synthseg_core.training.schedule import Schedule
from synthseg_core.training.snapshot import class_picture, write_snapshot
from synthseg_core.training.start import start_from, taken_text
from synthseg_core.training.step import recompute_features
from tests.unit.training.training_source import NETWORK, Balls, tiny_config


@pytest.fixture
def trained(tmp_path):
    run_training(tiny_config(), Balls(), tmp_path / "first")
    return tmp_path / "first"


def test_start_from_the_average_of_a_training(trained, tmp_path):
    average = read_checkpoint(trained / "last.pt")["average"]["values"]
    net = UNet(NETWORK)
    assert start_from(net, trained).new == ()
    assert all(torch.equal(value, average[name]) for name, value in net.state_dict().items() if value.ndim)


def test_a_training_that_starts_from_weights_has_a_fresh_optimiser(trained, tmp_path):
    config = tiny_config(start_from=str(trained / "last.pt"), stages=(Stage("dice", 1),))
    run_training(config, Balls(), tmp_path / "second")
    first, second = (read_checkpoint(folder / "last.pt") for folder in (trained, tmp_path / "second"))
    assert second["step"] == 1
    assert second["optimiser"]["state"][0]["step"] == 1
    moved = second["network"]["head.weight"] - first["average"]["values"]["head.weight"]
    assert 0 < moved.abs().max() <= 1.01e-3  # one step of Adam


def test_going_on_from_weights_at_their_place(trained, tmp_path):
    """Same rate and samples as in the training that they come from, and an average that does not begin anew."""
    schedule = Schedule("cosine", final=0.1)
    optimiser = OptimiserConfig(learning_rate=1e-3, schedule=schedule)
    stages = (Stage("weighted_l2", 4), Stage("dice", 16))
    config = tiny_config(stages=stages, optimiser=optimiser, start_from=str(trained / "last.pt"), start_step=6)
    source = Balls()
    assert run_training(config, source, tmp_path / "on").step == 20
    assert source.asked == [sample_seed(0, number) for number in range(6, 20)]
    rows = read_rows(tmp_path / "on" / "log.tsv")
    assert [int(row["step"]) for row in rows] == list(range(7, 21))
    assert float(rows[0]["learning_rate"]) == pytest.approx(1e-3 * schedule.factor(6 / 20), rel=1e-4)
    content = read_checkpoint(tmp_path / "on" / "last.pt")
    assert content["average"]["updates"] == 20
    assert content["optimiser"]["state"][0]["step"] == 14


def test_weights_of_the_last_step_have_no_place_to_go_on(trained, tmp_path):
    config = tiny_config(start_from=str(trained), start_step=6)
    with pytest.raises(UsageError, match="6 steps behind the weights, 6 in all"):
        run_training(config, Balls(), tmp_path / "on")
    with pytest.raises(UsageError, match="start_step: found no weights"):
        tiny_config(start_step=6)


def test_other_classes_keep_a_head_of_their_own(trained):
    net = UNet(UNetConfig(out_channels=5, features=2, levels=3))
    taken = start_from(net, trained, HEAD)
    assert (taken.new, taken.classes) == (("head.weight", "head.bias"), 0)


BRAIN = LabelTable(
    "brain", (0, 3, 42), ("background", "left cortex", "right cortex"), ("neutral", "left", "right"), (0, 42, 3)
)
HEAD = LabelTable(
    "head",
    (0, 3, 16, 42, 165),
    ("background", "left cortex", "stem", "right cortex", "skull"),
    ("neutral", "left", "neutral", "right", "neutral"),
    (0, 42, 16, 3, 165),
)


def test_a_head_for_more_classes_takes_over_those_that_both_know(trained):
    """By value and name, from the card beside the checkpoints; the others begin as the background."""
    before = read_checkpoint(trained / "last.pt")["average"]["values"]
    model = trained / "model"
    export_model(trained_card(model, "brain", ModelPlan(BRAIN), NETWORK), before, half=False)
    arrays = sum(value.ndim > 0 for value in before.values())  # batch norm counts in the others
    for path in (trained, trained / "last.pt", model, model / "card.yaml"):
        net = UNet(UNetConfig(out_channels=5, features=2, levels=3))
        taken = start_from(net, path, HEAD)
        assert (taken.new, taken.classes, taken.arrays) == ((), 3, arrays)
        for name in ("head.weight", "head.bias"):
            assert torch.equal(net.state_dict()[name], before[name][[0, 1, 0, 2, 0]])
    text = taken_text(net.config, trained, HEAD)
    assert text.endswith(f"{arrays} of {arrays} arrays, 3 of 5 classes, the others as the background")


def test_classes_of_the_same_value_and_another_name_are_others(trained):
    before = read_checkpoint(trained / "last.pt")["average"]["values"]
    groups = replace(BRAIN, names=("background", "grey", "white"))
    export_model(trained_card(trained / "model", "brain", ModelPlan(groups), NETWORK), before)
    taken = start_from(UNet(UNetConfig(out_channels=5, features=2, levels=3)), trained, HEAD)
    assert (taken.new, taken.classes) == (("head.weight", "head.bias"), 0)


def test_a_training_begins_with_the_classes_that_it_shares(trained, tmp_path):
    before = read_checkpoint(trained / "last.pt")["average"]["values"]
    export_model(trained_card(trained / "model", "brain", ModelPlan(BRAIN), NETWORK), before)
    network = UNetConfig(out_channels=5, features=2, levels=3)
    config = tiny_config(network=network, start_from=str(trained), stages=(Stage("dice", 1),))
    run_training(config, Balls(), tmp_path / "second", options=RunOptions(table=HEAD))
    moved = (
        read_checkpoint(tmp_path / "second" / "last.pt")["network"]["head.weight"]
        - before["head.weight"][[0, 1, 0, 2, 0]]
    )
    assert moved.abs().max() <= 1.01e-3  # one step of Adam


GROUP = replace(NETWORK, norm="group", activation="leaky_relu", residual=True)


class Cropped(Balls):
    """Samples whose edges can be halved three times."""

    def batch(self, seeds):
        images, class_index = super().batch(seeds)
        return images[..., :8, :16, :16], class_index[..., :8, :16, :16]


def _as_means(net: UNet, image: torch.Tensor) -> torch.Tensor:
    """Return what a network without folding answers for the means of blocks, for each of their voxels."""
    answer = net(functional.avg_pool3d(image, 2))
    return functional.interpolate(answer, scale_factor=2, mode="nearest")


def test_a_network_that_folds_begins_as_one_that_does_not(tmp_path):
    """The same function of the means of blocks; the block that is new says nothing yet."""
    config = tiny_config(network=GROUP, stages=(Stage("dice", 2),))
    run_training(config, Balls(), tmp_path / "plain")
    plain, net = UNet(GROUP).double(), UNet(replace(GROUP, folding=2)).double()
    start_from(plain, tmp_path / "plain")
    taken = start_from(net, tmp_path / "plain")
    assert taken.new
    assert all(name.startswith("detail.") for name in taken.new)
    image = torch.rand(1, 1, 16, 24, 32, generator=torch.Generator().manual_seed(0)).double()
    with torch.inference_mode():
        np.testing.assert_allclose(net(image), _as_means(plain, image), atol=1e-6)


def test_a_folding_network_with_other_classes_takes_those_that_both_know(tmp_path):
    """From weights without folding, and from weights with it."""
    config = tiny_config(network=GROUP, stages=(Stage("dice", 2),))
    run_training(config, Balls(), tmp_path / "plain")
    before = read_checkpoint(tmp_path / "plain" / "last.pt")["average"]["values"]
    export_model(trained_card(tmp_path / "plain" / "model", "brain", ModelPlan(BRAIN), GROUP), before, half=False)
    folded = UNet(replace(GROUP, folding=2))
    start_from(folded, tmp_path / "plain", BRAIN)
    card = trained_card(tmp_path / "folded", "brain", ModelPlan(BRAIN), folded.config)
    export_model(card, folded.state_dict(), half=False)
    for path in (tmp_path / "plain", tmp_path / "folded"):
        net = UNet(replace(GROUP, out_channels=5, folding=2))
        taken = start_from(net, path, HEAD)
        assert taken.classes == 3
        assert not any(name.startswith("head") for name in taken.new)
        image = torch.rand(1, 1, 16, 24, 32, generator=torch.Generator().manual_seed(0))
        net.load_state_dict({name: folded.state_dict()[name] for name in taken.new}, strict=False)
        with torch.inference_mode():
            np.testing.assert_allclose(net(image), folded(image)[:, [0, 1, 0, 2, 0]], atol=1e-5)


def test_a_folding_network_learns(tmp_path):
    config = tiny_config(
        network=replace(GROUP, features=4, folding=2),
        stages=(Stage("dice", 40),),
        optimiser=OptimiserConfig("muon", 0.02),
    )
    run_training(config, Cropped(), tmp_path / "run")
    losses = [float(row["loss"]) for row in read_rows(tmp_path / "run" / "log.tsv")]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_weights_of_another_network_are_refused(trained):
    with pytest.raises(WeightsError, match="4 features"):
        start_from(UNet(UNetConfig(out_channels=3, features=4, levels=3)), trained)
    with pytest.raises(WeightsError, match="no weights"):
        start_from(UNet(NETWORK), trained.parent)


def test_start_from_a_weights_file(trained, tmp_path):
    from synthseg_core.models.arrays import save_safetensors
    from synthseg_core.models.keras_file import write_keras
    from synthseg_core.networks.config import NetworkSpec

    state = {name: value.numpy() for name, value in read_checkpoint(trained / "last.pt")["network"].items()}
    spec = NetworkSpec("segmenter", "unet", NETWORK)
    save_safetensors(tmp_path / "a.safetensors", [(spec, state)])
    write_keras(tmp_path / "a.h5", [(spec, state)])
    for name in ("a.safetensors", "a.h5"):
        net = UNet(NETWORK)
        start_from(net, tmp_path / name)
        np.testing.assert_array_equal(net.up[1].conv0.weight.detach().numpy(), state["up.1.conv0.weight"])


def test_recomputed_features_give_the_same_gradients_and_statistics():
    nets = [UNet(NETWORK), UNet(NETWORK)]
    nets[1].load_state_dict(nets[0].state_dict())
    recompute_features(nets[1])
    image = torch.rand(1, 1, 8, 12, 16)
    for net in nets:
        net(image).square().mean().backward()
    for (name, first), (_, second) in zip(nets[0].named_parameters(), nets[1].named_parameters(), strict=True):
        assert torch.equal(first.grad, second.grad), name
    for first, second in zip(nets[0].buffers(), nets[1].buffers(), strict=True):
        assert torch.equal(first, second)


def test_gradient_checkpointing_changes_nothing(tmp_path):
    run_training(tiny_config(), Balls(), tmp_path / "a")
    run_training(tiny_config(gradient_checkpointing=True), Balls(), tmp_path / "b")
    first, second = (read_checkpoint(tmp_path / name / "last.pt")["network"] for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_pictures_without_matplotlib_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"synthseg-bids\[pictures\]"):
        run_training(tiny_config(), Balls(), tmp_path, options=RunOptions(snapshot=class_picture))
    with pytest.raises(UsageError, match="--no-snapshot"):
        write_snapshot(tmp_path, *[np.zeros((2, 2, 2), int)] * 3)


def test_tensorboard_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"synthseg-bids\[tensorboard\]"):
        run_training(tiny_config(), Balls(), tmp_path, options=RunOptions(tensorboard=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_after_its_step(tmp_path, number):
    class Signalling(Balls):
        def batch(self, seeds):
            if len(self.asked) == 3:
                os.kill(os.getpid(), number)
            return super().batch(seeds)

    outcome = run_training(tiny_config(), Signalling(), tmp_path)
    assert not outcome.finished
    assert outcome.step == 4
    assert read_checkpoint(tmp_path / "last.pt")["step"] == 4
    assert run_training(tiny_config(), Balls(), tmp_path).finished
    assert [int(row["step"]) for row in read_rows(tmp_path / "log.tsv")] == [1, 2, 3, 4, 5, 6]
