"""Intensities of samples: clipping, normalisation, gamma, gradient images."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.synth import BrainGenerator, GenerationLabels, Recipe
from synthseg_core.synth.intensities import clip_and_gamma, gradient_magnitude, normalise
from tests.phantoms.heads import phantom_maps, small


def made(recipe: Recipe, seed=1, **options):
    labels = GenerationLabels.builtin(outputs=recipe.output_column, classes=recipe.class_column)
    return BrainGenerator(phantom_maps(labels, **options), recipe).sample(seed)


def test_intensities_are_clipped_normalised_and_bent():
    image = torch.tensor([-20.0, 0, 75, 150, 300, 700])
    found = clip_and_gamma(image, 300, 2.0)
    torch.testing.assert_close(found, torch.tensor([0, 0, 0.0625, 0.25, 1, 1]))
    torch.testing.assert_close(clip_and_gamma(image, 300, 2.0, invert=True), 1 - found)
    assert normalise(torch.full((4,), 7.0)).tolist() == [0] * 4


def test_gradient_images():
    ramp = torch.arange(6.0).reshape(6, 1, 1).expand(6, 5, 4) / 5
    found = gradient_magnitude(ramp)
    inside = found[1:-1]
    assert torch.allclose(inside, torch.ones_like(inside), atol=1e-5)  # the same slope everywhere
    assert float(found[0].max()) < 0.01  # half of it where edges are repeated, then minimum to 0
    sample = made(small(gradient=True))
    assert float(sample.image.min()) == 0
    assert float(sample.image.max()) == pytest.approx(1, abs=1e-5)
