"""The optional backend; what needs the library runs where it is installed."""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from synthseg_core.cli.demo.heads import write_heads
from synthseg_core.cli.main import main
from synthseg_core.cli.options import add_backend
from synthseg_core.errors import UsageError
from synthseg_core.synth import BrainGenerator, GenerationLabels, Recipe
from synthseg_core.synth.cornucopia import BACKENDS, MONAI_VALIDATION, CornucopiaGenerator, CornucopiaParameters
from synthseg_core.synth.recipe import CropSpec
from synthseg_core.synth.sample_files import SampleRecord
from synthseg_core.system.settings import build, to_content
from synthseg_core.training.prepare import MapsSource, made_of
from tests.phantoms.heads import phantom_maps

FAST = CornucopiaParameters(order=1, gmm_fwhm=0)
CROPS = Recipe(crop=CropSpec((24, 32, 28), 4))


def test_missing_library_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cornucopia", None)
    with pytest.raises(UsageError, match=r"pip install 'synthseg-bids\[cornucopia\]'"):
        CornucopiaGenerator(phantom_maps())


def test_commands_offer_what_there_is():
    parser = argparse.ArgumentParser()
    add_backend(parser.add_argument_group())
    assert {parser.parse_args(["--backend", name]).backend for name in BACKENDS} == set(BACKENDS)


def test_parameters_are_those_of_the_port():
    found = CornucopiaParameters()
    assert (found.rotation, found.shears, found.zooms, found.translations) == (15, 0.012, 0.15, 0.1)
    assert (found.elastic, found.elastic_nodes, found.elastic_steps) == (0.075, 10, 8)
    assert (found.gmm_fwhm, found.bias, found.gamma, found.motion_fwhm) == (10, 7, 0.6, 3)
    assert (found.resolution, found.snr, found.gfactor, found.bound) == (8, 10, 5, "zeros")
    weak = MONAI_VALIDATION
    assert not any((weak.rotation, weak.shears, weak.zooms, weak.translations, weak.elastic))
    assert (weak.gmm_fwhm, weak.bias, weak.gamma, weak.motion_fwhm) == (10, 2, 0.1, 1)
    assert (weak.resolution, weak.snr, weak.gfactor, weak.bound) == (1, 100, 2, "zeros")


@pytest.fixture
def generator() -> CornucopiaGenerator:
    pytest.importorskip("cornucopia", reason="cornucopia is not installed")
    return CornucopiaGenerator(phantom_maps(), CROPS, FAST)


def test_samples_are_sources_of_trainings(generator):
    images, classes = generator.batch([1, 2])
    assert images.shape == (2, 1, 24, 32, 28)
    assert images.dtype == torch.float32
    assert classes.shape == (2, 24, 32, 28)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    assert int(classes.max()) < 33
    assert torch.equal(classes[1], generator.sample(2).index_map)


def test_both_hidden_sources_are_seeded_and_left_alone(generator):
    """The library draws from Python's random numbers and from torch's."""
    random.seed(1)
    torch.manual_seed(1)
    states = random.getstate(), torch.get_rng_state()
    first = generator.sample(5)
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    random.seed(2)
    torch.manual_seed(2)
    again = generator.sample(5)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.index_map, again.index_map)
    assert not torch.equal(first.image, generator.sample(6).image)


def test_mirrored_heads_exchange_sides(generator):
    maps = phantom_maps(GenerationLabels.builtin(outputs="value"), count=1)
    still = CornucopiaParameters(
        order=1, gmm_fwhm=0, rotation=0, shears=0, zooms=0, translations=0, elastic=0, resolution=1
    )
    whole = Recipe(crop=CropSpec(None, None), output_column="value")
    recipes = (replace(whole, flip_probability=p) for p in (0.0, 1.0))
    plain, flipped = (CornucopiaGenerator(maps, recipe, still).sample(3) for recipe in recipes)
    swap = torch.tensor(maps.labels.swap_index)
    position = {value: index for index, value in enumerate(plain.target_values)}
    entry = torch.tensor([maps.labels.values.index(value) for value in position])
    target = torch.tensor([position[value] for value in maps.labels.outputs])
    expected = target[swap[entry[plain.index_map.flip(0).long()]]]
    assert torch.equal(flipped.index_map.long(), expected)
    torch.testing.assert_close(flipped.image, plain.image.flip(1))
    assert (plain.draw.flip, flipped.draw.flip) == (False, True)
    np.testing.assert_array_equal(plain.affine, maps.affine[0])


def test_draws_are_read_back_beside_those_of_the_own_generator(generator):
    draws = generator.draw(3), BrainGenerator(phantom_maps(), CROPS).draw(3)
    records = [SampleRecord("", "map", "", "list", "", CROPS, draw) for draw in draws]
    for record in records:
        assert build(SampleRecord, json.loads(json.dumps(to_content(record))), "record") == record


def test_draws_of_another_version_are_refused(generator):
    draw = replace(generator.draw(3), library="cornucopia 0.1")
    with pytest.raises(UsageError, match=r"found one for cornucopia 0\.1"):
        generator.apply(draw)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channels": 2}, "a recipe with channels"),
        ({"gradient": True}, "a recipe with gradient"),
        ({"sampling_map": "distance"}, "a recipe with sampling_map"),
        ({"target_voxel_size_mm": 0.5}, "a recipe with target_voxel_size_mm"),
    ],
)
def test_recipes_of_other_channels_or_voxels_are_refused(generator, change, said):
    with pytest.raises(UsageError, match=said):
        CornucopiaGenerator(phantom_maps(), replace(CROPS, **change), FAST)


def test_commands_say_first_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "cornucopia", None)
    write_heads(tmp_path / "maps", 1, voxel_size_mm=4.0)
    words = ["--maps", str(tmp_path / "maps"), "--out", str(tmp_path / "out"), "--backend", "cornucopia"]
    for command in (["generate"], ["train", "--preset", "tiny"]):
        assert main([*command, *words]) == 2
        assert "backend cornucopia: found no package cornucopia" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_samples_can_be_made_again(generator, tmp_path):
    """Files and a training; whole heads of 8 mm, since smoothing within classes is slow."""
    write_heads(tmp_path / "maps", 2, voxel_size_mm=8.0)
    words = ["--maps", str(tmp_path / "maps"), "--set", "crop.multiple=4", "--no-picture", "--device", "cpu"]
    first, again = tmp_path / "first", tmp_path / "again"
    assert main(["generate", *words, "--out", str(first), "--count", "2", "--backend", "cornucopia"]) == 0
    record = first / "sample-0002_draw.json"
    assert json.loads(record.read_text())["draw"]["library"].startswith("cornucopia 0")
    assert main(["generate", *words, "--out", str(again), "--replay", str(record)]) == 0
    made = {path.name: path.read_bytes() for path in again.iterdir()}
    assert len(made) == 3
    assert all((first / name).read_bytes() == content for name, content in made.items())


def test_trainings_tell_what_made_their_samples(generator):
    given = MapsSource([], phantom_maps().labels)
    assert made_of(generator, given)["backend"] == {"library": generator.library, **to_content(FAST)}
    assert "backend" not in made_of(BrainGenerator(phantom_maps(), CROPS), given)
