"""Translation of a batch: one pass, or from noise, with the source seen at every step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from synthseg_core.translation.translator import ImageTranslator, seeded_noise
from tests.phantoms.translation import tiny_networks


class Half(nn.Module):
    def forward(self, images):
        return images / 2


class Guess(nn.Module):
    """A diffusion network that guesses the source's negative, and notes what it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, noisy, source, step, latent):
        self.seen.append((noisy.clone(), int(step[0]), latent))
        return -source


def test_one_pass_asks_for_no_noise():
    translate = ImageTranslator(tiny_networks(), Half())
    assert translate.steps == 1
    assert torch.equal(translate(torch.ones(2, 1, 4, 4)), torch.full((2, 1, 4, 4), 0.5))


def test_diffusion_begins_at_noise_and_ends_at_the_guess():
    pytest.importorskip("monai")
    net, source = Guess(), torch.rand(2, 1, 4, 4)
    translate = ImageTranslator(tiny_networks("diffusion"), net)
    noise = seeded_noise(translate.networks, source, 5)
    assert torch.equal(translate(source, noise), -source)
    assert [step for _, step, _ in net.seen] == [1, 0]
    assert torch.equal(net.seen[0][0], noise(2, "image"))
    assert torch.equal(net.seen[1][2], noise(0, "latent"))
    assert not torch.equal(net.seen[0][2], net.seen[1][2])  # fresh at every step


def test_seeded_noise_repeats_itself_and_no_other():
    images = torch.zeros(1, 1, 4, 4)
    one, other = (seeded_noise(tiny_networks("diffusion"), images, seed) for seed in (1, 2))
    assert torch.equal(one(2, "image"), one(2, "image"))
    assert not torch.equal(one(2, "image"), other(2, "image"))
    assert not torch.equal(one(2, "image"), one(1, "image"))
    assert not torch.equal(one(2, "image"), one(2, "latent"))
