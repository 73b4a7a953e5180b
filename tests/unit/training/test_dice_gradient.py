"""The loss by blocks: the number and the gradient of autograd."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.training import dice_gradient
from synthseg_core.training.dice_gradient import dice_by_blocks
from synthseg_core.training.losses import dice_loss, one_hot, soft_dice

CLASSES = 5


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks, the last one incomplete."""
    monkeypatch.setattr(dice_gradient, "_ROWS", 37)


def case(scale=2.0, dtype=torch.float32, seed=0):
    """Logits of two samples, channels last, and true classes of which the last never occurs."""
    generator = torch.Generator().manual_seed(seed)
    logits = (scale * torch.randn(2, CLASSES, 4, 5, 6, generator=generator)).to(dtype)
    index = torch.randint(0, CLASSES - 1, (2, 4, 5, 6), generator=generator, dtype=torch.uint8)
    return logits.contiguous(memory_format=torch.channels_last_3d).requires_grad_(), index


def by_autograd(logits, index, weight, smoothing):
    posteriors = logits.double().softmax(1)
    target = one_hot(index, CLASSES)
    overlap, squares = (posteriors * target).flatten(2).sum(2), posteriors.square().flatten(2).sum(2)
    dice = (2 * overlap + smoothing) / (target.flatten(2).sum(2) + squares + smoothing)
    entropy = torch.nn.functional.cross_entropy(logits.double(), index.long())
    return (1 - dice).mean() + weight * entropy


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("smoothing", [1e-5, 1.0])
@pytest.mark.parametrize("scale", [0.1, 2.0, 60.0])  # with the last one most posteriors are 0 or 1
def test_number_and_gradient_are_those_of_autograd(weight, smoothing, scale):
    logits, index = case(scale)
    loss, wanted = dice_loss(logits, index, weight, smoothing), by_autograd(logits, index, weight, smoothing)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    (found,), (gradient,) = torch.autograd.grad(3 * loss, logits), torch.autograd.grad(3 * wanted, logits)
    torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-8)
    assert found.is_contiguous(memory_format=torch.channels_last_3d)


def test_half_precision_logits_get_a_gradient_of_their_kind():
    logits, index = case(dtype=torch.bfloat16)
    (found,) = torch.autograd.grad(dice_loss(logits, index, 0.5), logits)
    (gradient,) = torch.autograd.grad(by_autograd(logits, index, 0.5, 1e-5), logits)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, gradient, rtol=2**-6, atol=1e-8)  # two roundings


def test_validation_has_the_same_number_without_gradients():
    logits, index = case()
    with torch.no_grad():
        plain = dice_loss(logits, index, 0.5)
    assert dice_loss(logits, index, 0.5).item() == pytest.approx(plain.item(), rel=1e-6)
    assert 1 - soft_dice(logits.softmax(1), one_hot(index, CLASSES)).mean().item() == pytest.approx(
        dice_by_blocks(logits.movedim(1, -1).flatten(1, -2), index.flatten(1).long(), 0.0, 1e-5).item(), rel=1e-5
    )
