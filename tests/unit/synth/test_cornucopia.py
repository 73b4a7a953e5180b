"""The optional backend; what needs the library runs where it is installed."""

from __future__ import annotations

import random
import sys

import pytest
import torch

from synthseg_core.errors import UsageError
from synthseg_core.synth import GenerationLabels
from synthseg_core.synth.cornucopia import CornucopiaGenerator, CornucopiaParameters
from tests.phantoms.heads import phantom_maps

FAST = CornucopiaParameters(patch=(24, 32, 28), order=1, gmm_fwhm=False)


def test_missing_library_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cornucopia", None)
    with pytest.raises(UsageError, match=r"pip install 'synthseg-bids\[cornucopia\]'"):
        CornucopiaGenerator(phantom_maps())


def test_parameters_are_those_of_the_port():
    found = CornucopiaParameters()
    assert (found.rotation, found.shears, found.zooms, found.translations) == (15, 0.012, 0.15, 0.1)
    assert (found.elastic, found.elastic_nodes, found.elastic_steps) == (0.075, 10, 8)
    assert (found.gmm_fwhm, found.bias, found.gamma, found.motion_fwhm) == (10, 7, 0.6, 3)
    assert (found.resolution, found.snr, found.gfactor, found.bound) == (8, 10, 5, "zeros")


@pytest.fixture
def generator() -> CornucopiaGenerator:
    pytest.importorskip("cornucopia", reason="cornucopia is not installed")
    return CornucopiaGenerator(phantom_maps(), FAST)


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
    whole = CornucopiaParameters(
        order=1, gmm_fwhm=False, rotation=0, shears=0, zooms=0, translations=0, elastic=0, resolution=1
    )
    plain, flipped = (CornucopiaGenerator(maps, whole, flip_probability=p).sample(3) for p in (0.0, 1.0))
    swap = torch.tensor(maps.labels.swap_index)
    position = {value: index for index, value in enumerate(plain.target_values)}
    entry = torch.tensor([maps.labels.values.index(value) for value in position])
    target = torch.tensor([position[value] for value in maps.labels.outputs])
    expected = target[swap[entry[plain.index_map.flip(0).long()]]]
    assert torch.equal(flipped.index_map.long(), expected)
    torch.testing.assert_close(flipped.image, plain.image.flip(1))
