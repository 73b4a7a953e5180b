"""Trainings on real scans: what is asked for, and what they become."""

from __future__ import annotations

import re

import pytest
import torch

from synthseg_core.cli.demo.heads import write_heads, write_scans
from synthseg_core.cli.main import main
from synthseg_core.errors import InputError, UsageError
from synthseg_core.models.registry import load_card
from synthseg_core.synth.maps import read_labels
from synthseg_core.synth.real_scans import MixedScans
from synthseg_core.training.prepare import Inputs, MapsSource
from synthseg_core.training.tasks import prepare
from tests.unit.training.tasks.small import CPU, experiment, first_model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    maps = write_heads(folder / "maps", 2, voxel_size_mm=4.0)
    write_scans(maps, folder / "images")
    return folder


def given(folder, wanted, **more) -> Inputs:
    return Inputs(MapsSource([folder / "maps"], read_labels("generation_54", wanted.recipe)), **more)


def test_samples_are_of_real_scans(folders):
    wanted = experiment("tiny_supervised", recipe={"target_voxel_size_mm": None})
    found = prepare(wanted, given(folders, wanted, images=[folders / "images"]), CPU)
    images, truth = found.source.batch([1])
    assert images.shape == (1, 1, 24, 32, 24)
    assert truth.shape == (1, 24, 32, 24)
    assert found.data["task"] == "supervised"
    assert found.model.voxel_size_mm == 4.0
    card = load_card(first_model(found, folders / "model"))
    assert "trained on real scans" in card.title


def test_the_voxel_size_of_the_recipe_is_that_of_the_samples(folders):
    wanted = experiment("tiny_supervised", recipe={"target_voxel_size_mm": 3})
    found = prepare(wanted, given(folders, wanted, images=[folders / "images"]), CPU)
    assert found.model.voxel_size_mm == 3.0


def test_validation_scores_each_held_out_scan_as_it_is(folders):
    wanted = experiment("tiny_supervised", recipe={"target_voxel_size_mm": None}, validation={"draws": 8})
    found = prepare(wanted, given(folders, wanted, images=[folders / "images"]), CPU)
    assert found.validate is not None
    source, seeds = found.validate.source, found.validate.seeds
    assert list(seeds) == [0, 1]
    assert not torch.equal(source.batch([0])[1], source.batch([1])[1])
    assert torch.equal(source.batch([0])[0], source.batch([0])[0])


def test_synthetic_samples_are_part_of_the_record(folders):
    changes = {"recipe": {"target_voxel_size_mm": None}, "mixing": {"synthetic_share": 0.5, "recipe": "tiny"}}
    wanted = experiment("tiny_supervised", **changes)
    found = prepare(wanted, given(folders, wanted, images=[folders / "images"]), CPU)
    assert isinstance(found.source, MixedScans)
    assert found.data["mixing"] == {"synthetic_share": 0.5, "recipe": "tiny"}
    shapes = {found.source.batch([seed])[0].shape for seed in range(8)}
    assert len(shapes) == 1


def test_scans_are_asked_for_and_only_here(folders):
    wanted = experiment("tiny_supervised")
    with pytest.raises(UsageError, match="--images: found none; expected the scans that the label maps belong to"):
        prepare(wanted, given(folders, wanted), CPU)
    other = experiment("tiny")
    with pytest.raises(UsageError, match="--images: found it for the task segmentation"):
        prepare(other, given(folders, other, images=[folders / "images"]), CPU)


def test_numbers_of_scans_and_maps_agree(folders, tmp_path):
    wanted = experiment("tiny_supervised")
    write_heads(tmp_path, 1, voxel_size_mm=4.0)
    with pytest.raises(InputError, match="1 scan for 2 label maps"):
        prepare(wanted, given(folders, wanted, images=[tmp_path]), CPU)


def test_the_command_says_what_it_takes_of_given_weights(folders, tmp_path, capsys):
    (tmp_path / "small.yaml").write_text(
        "recipe: {crop: {shape: [24, 32, 24]}, target_voxel_size_mm: null}\n"
        "training: {network: {features: 2, levels: 3}}\nvalidation: {draws: 0}\n"
    )
    words = ["train", "--maps", str(folders / "maps"), "--images", str(folders / "images"), "--no-snapshot"]
    words += ["--preset", "tiny_supervised", "--config", str(tmp_path / "small.yaml"), "--precision", "float32"]
    assert main([*words, "--steps", "2", "--out", str(tmp_path / "first"), "--device", "cpu"]) == 0
    capsys.readouterr()
    model = str(tmp_path / "first" / "model" / "card.yaml")
    again = [*words, "--steps", "2", "--out", str(tmp_path / "next"), "--start-from", model, "--device", "cpu"]
    assert main(again) == 0
    assert re.search(rf"starting from {re.escape(model)}: (\d+) of \1 arrays\n", capsys.readouterr().out)
