"""What a training is prepared from: crops and maps that fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthseg_core.cli.main import main
from synthseg_core.errors import UsageError
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.registry import load_card
from synthseg_core.networks.basic_unet import BasicUNet
from synthseg_core.networks.config import BasicUNetConfig
from synthseg_core.synth.maps import read_labels
from synthseg_core.synth.recipe_file import read_recipe
from synthseg_core.training.config import TrainConfig
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.prepare import Inputs, MapsSource, divisible
from synthseg_core.training.state import new_state
from synthseg_core.training.step import recompute_features
from synthseg_core.training.tasks import prepare
from tests.phantoms.scans import phantom, write_nifti
from tests.unit.training.tasks.small import CPU, SETTINGS, first_model, prepared
from tests.unit.training.training_source import Balls


def test_crops_suit_the_levels_of_the_network():
    assert divisible(read_recipe("tiny"), 3).crop.multiple == 8
    assert divisible(read_recipe("official"), 4).crop.multiple == 32
    assert divisible(read_recipe("advanced"), 2).crop.multiple == 4


PORT = {"training": {"network": {"architecture": "basic_unet", "features": [4, 6, 8, 4]}}}


def port(**changes):
    """The port's training, small; ``experiment`` sets widths of a U-Net, so its network comes on top."""
    base = Experiment.preset("tiny_monai").changed({**SETTINGS, "training": {"device": "cpu"}})
    return base.changed({**PORT, **changes})


def test_the_training_of_the_port_becomes_a_model_that_sees_patches_as_windows(tmp_path):
    found = prepared(tmp_path, port())
    net = new_state(found.config, CPU).net
    assert isinstance(net, BasicUNet)
    card = load_card(first_model(found, tmp_path / "patches"))
    assert (card.family, card.inference.window_voxels) == ("basic-unet", (16, 32, 16))
    volume = phantom((4.0, 4.0, 4.0), (20, 25, 19))
    words = ["segment", str(write_nifti(tmp_path / "scan.nii.gz", volume)), "--model", str(card.source)]
    assert main([*words, "--dseg", str(tmp_path / "dseg.nii.gz")]) == 0


def test_a_network_that_saw_whole_maps_sees_whole_scans(tmp_path):
    whole = port(recipe={"crop": {"shape": None, "multiple": 4}})
    assert load_card(first_model(prepared(tmp_path, whole), tmp_path / "whole")).inference.window_voxels is None


def test_a_model_of_the_head_sums_the_brain_alone(tmp_path):
    """Total volume, brain mask, and a field of view that the scout gives it."""
    wanted = Experiment.preset("head_2mm").changed({**SETTINGS, "training": {**SETTINGS["training"], "optimiser": {}}})
    card = load_card(first_model(prepared(tmp_path, wanted), tmp_path / "head"))
    assert card.labels.labels == LabelTable.builtin("head").labels
    assert card.total_labels == LabelTable.builtin("segmentation_2.0").labels[1:]
    assert card.scout.field_of_view_mm == (112.0, 144.0, 128.0)
    assert card.networks[-1].config.out_channels == 40


def test_first_weights_follow_from_the_seed(tmp_path):
    """Those of upsampling too, which torch would draw from its own generator."""
    config = prepared(tmp_path, port()).config
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(new_state(config, CPU).net.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_columns_of_the_port_are_its_structures():
    labels = read_labels("generation_54", read_recipe("monai"))
    assert labels.n_classes == len(labels) == 54
    assert labels.target_values == LabelTable.builtin("segmentation_1.0").labels
    targets = dict(zip(labels.values, labels.outputs, strict=True))
    assert all(target in (0, value) for value, target in targets.items())


def test_validation_sees_other_scans_on_the_same_grid(tmp_path):
    """With the recipe of the port's validations heads lie as they are; without one they are those of training."""
    changed = prepared(tmp_path, port(validation={"recipe": "monai_validation"})).validate.source
    same = prepared(tmp_path, port(validation={"recipe": None})).validate.source
    assert changed.recipe.deformation == read_recipe("monai_validation").deformation
    assert same.recipe.deformation == read_recipe("tiny_monai").deformation
    assert changed.recipe.crop == same.recipe.crop
    assert changed.recipe.output_column == same.recipe.output_column
    assert changed.shape == same.shape


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "tissue_groups"}, "found basic_unet for the task tissue_groups; expected it for segmentation"),
        ({"task": "supervised"}, "validation: recipe: found one for the task supervised; expected none"),
    ],
)
def test_refuses_what_no_model_could_hold(tmp_path, changes, said):
    inputs_of = {"images": [tmp_path]} if changes["task"] == "supervised" else {}
    given = Inputs(MapsSource([tmp_path], read_labels("generation_54", port().recipe)), **inputs_of)
    with pytest.raises(UsageError, match=said):
        prepare(port(**changes), given, CPU)


def test_recomputed_features_give_the_same_gradients():
    torch.manual_seed(0)
    images = torch.rand(1, 1, 8, 8, 16)
    plain, saving = (new_state(TrainConfig(network=BasicUNetConfig(features=(4, 6, 8, 4))), CPU).net for _ in range(2))
    recompute_features(saving)
    for net in (plain, saving):
        net(images).square().mean().backward()
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_synthetic_scans_are_made_ahead_where_there_is_more_than_one_core(tmp_path, monkeypatch):
    """Not those of cornucopia, which draws from torch's own generator."""
    ours = prepared(tmp_path, Experiment.preset("tiny").changed(SETTINGS))
    for threads, ahead in ((1, None), (2, True)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert ours.ahead is ahead
    assert replace(ours, source=Balls()).ahead is None
