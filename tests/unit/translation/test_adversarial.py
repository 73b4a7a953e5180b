"""Losses of networks that judge each other: by hand, and who is moved by what."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from synthseg_core.networks.translators import new_discriminators, new_generators
from synthseg_core.translation.adversarial import Adversaries, Draws, fake_loss, gradient_penalty, real_loss
from synthseg_core.translation.config import LossWeights
from tests.phantoms.translation import NEEDS_EINOPS, tiny_networks

METHODS = pytest.mark.parametrize("method", ["cycle", pytest.param("diffusion", marks=NEEDS_EINOPS)])


def test_losses_by_hand():
    logits = torch.tensor([2.0, -1.0])
    assert float(real_loss(logits)) == pytest.approx((math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2)
    assert float(fake_loss(logits)) == pytest.approx((math.log1p(math.exp(2)) + math.log1p(math.exp(-1))) / 2)


def test_gradient_penalty_of_a_known_function():
    """Logits x1^2 + 3 x2 have the gradient (2 x1, 3): half of gamma times its squared length."""
    images = torch.tensor([[[[0.5, -0.2]]], [[[1.0, 0.7]]]])
    penalty = gradient_penalty(lambda x: x[..., 0].square() + 3 * x[..., 1], images, gamma=2.0)
    assert penalty.item() == pytest.approx(((1.0 + 9) + (4.0 + 9)) / 2)


def test_gradient_penalty_and_its_own_gradient_against_differences():
    """Of a network: gradients by central differences of its logit, in double precision, weights moved as well."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Softplus(), nn.Flatten(), nn.Linear(8, 1)).double()
    images = torch.randn(2, 1, 4, 4, dtype=torch.float64)

    def by_differences():
        total, step = 0.0, 1e-4
        for image in images:
            for place in range(16):
                bump = torch.zeros(16, dtype=torch.float64)
                bump[place] = step
                up, down = (net((image + sign * bump.view(1, 4, 4))[None]) for sign in (1, -1))
                total += ((up - down) / (2 * step)).item() ** 2
        return 0.5 * total / len(images)

    penalty = gradient_penalty(lambda x: net(x).double(), images, gamma=1.0)
    assert penalty.item() == pytest.approx(by_differences(), rel=1e-5)
    penalty.backward()
    weight = net[0].weight
    slope, step = float(weight.grad[0, 0, 1, 1]), 1e-3
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 0, 1, 1] += sign * step
        values.append(by_differences())
        with torch.no_grad():
            weight[0, 0, 1, 1] -= sign * step
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-3)


def _adversaries(method, **losses):
    torch.manual_seed(0)
    networks = tiny_networks(method)
    return Adversaries(networks, LossWeights(**losses), new_generators(networks), new_discriminators(networks))


def _draws():
    generator = torch.Generator().manual_seed(3)
    one = Draws(
        torch.tensor([0, 1]),
        torch.randn(3, 2, 1, 16, 16, generator=generator),
        torch.randn(2, 1, 16, 16, generator=generator),
    )
    return {"forward": one, "backward": one}


@METHODS
def test_discriminators_and_generators_are_moved_by_their_own_losses_alone(method):
    adversaries = _adversaries(method)
    made = adversaries.make(torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16), _draws())
    sum(adversaries.discriminator_loss(made, penalised=True).values()).backward()
    assert all(p.grad is None for p in adversaries.generators.parameters())
    assert all(p.grad is not None for p in adversaries.discriminators.parameters())
    adversaries.discriminators.requires_grad_(False)
    sum(adversaries.generator_loss(made).values()).backward()
    assert all(p.grad is not None for p in adversaries.generators.parameters())


@METHODS
def test_parts_of_the_losses(method):
    adversaries = _adversaries(method, cycle=2.0, reconstruction=3.0)
    made = adversaries.make(torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16), _draws())
    parts = adversaries.generator_loss(made)
    cycle = sum((one.returned - one.true).abs().mean().item() for one in made.values())
    assert parts["cycle"].item() == pytest.approx(2 * cycle, rel=1e-5)
    assert ("reconstruction" in parts) == (method == "diffusion")
    judged = adversaries.discriminator_loss(made, penalised=False)
    assert len(judged) == (4 if method == "diffusion" else 2)
    assert "penalty_forward" not in judged


@NEEDS_EINOPS
def test_the_image_is_guessed_from_noise_and_from_its_own_translation():
    """Target and source of the diffusion belong together although the domains do not."""
    adversaries = _adversaries("diffusion")
    seen = {}

    def spy(way):
        net = adversaries.generators[f"diffusion_{way}"]
        net.register_forward_pre_hook(lambda _, inputs: seen.__setitem__(way, inputs))

    spy("forward")
    spy("backward")
    first, second = torch.rand(2, 1, 16, 16), -torch.rand(2, 1, 16, 16)
    made = adversaries.make(first, second, _draws())
    assert torch.equal(made["forward"].true, second)
    assert torch.equal(seen["forward"][1], made["backward"].translated)
    assert torch.equal(seen["backward"][1], made["forward"].translated)
    assert torch.equal(made["forward"].drawn[0], made["forward"].guess[0])  # step 0 adds no noise
