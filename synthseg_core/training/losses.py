"""Losses: weighted L2 on logits, then soft Dice, with cross-entropy as an option; squared error for scores.

All sums run in float32 even inside autocast: a sum over a million voxels has no digits left in 16 bits.

References
----------
Billot et al., SynthSeg, Medical Image Analysis 2023: soft Dice over all classes, background included, after a first
stage that brings the logits to plus and minus a constant.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from synthseg_core.training.config import SMOOTHING
from synthseg_core.training.dice_gradient import dice_by_blocks

Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes logits (B, C, I, J, K) and class_index (B, I, J, K), or scores and truth; returns the batch's mean loss."""

EPSILON = SMOOTHING  # in numerator, denominator and normalisation
L2_TARGET = 5.0  # logit of the true class in the first stage; minus this for the others
L2_BACKGROUND_WEIGHT = 1e-8


def loss_called(name: str, cross_entropy_weight: float = 0.0, smoothing: float = EPSILON) -> Loss:
    """Return the loss of a stage by its name; the weight and the smoothing are those of :func:`dice_loss`."""
    if name == "weighted_l2":
        return weighted_l2_loss
    if name == "squared_error":
        return squared_error_loss
    return lambda logits, class_index: dice_loss(logits, class_index, cross_entropy_weight, smoothing)


def weighted_l2_loss(logits: Tensor, class_index: Tensor) -> Tensor:
    """Return the squared distance of logits to +5 (true class) and -5 (others), over the foreground.

    Parameters
    ----------
    logits : (B, C, I, J, K)
        Before softmax.
    class_index : (B, I, J, K)
        True class, 0 being the background.
    """
    with torch.autocast(logits.device.type, enabled=False):
        target = L2_TARGET * (2 * one_hot(class_index, logits.shape[1]) - 1)
        weight = (class_index != 0).unsqueeze(1).float() + L2_BACKGROUND_WEIGHT
        return (weight * (logits.float() - target) ** 2).sum() / (logits.shape[1] * weight.sum())


def squared_error_loss(scores: Tensor, truth: Tensor) -> Tensor:
    """Return the squared error, summed over the scores of a sample, mean over samples.

    Parameters
    ----------
    scores, truth : (B, N)
        Predicted and true values.
    """
    with torch.autocast(scores.device.type, enabled=False):
        return (scores.float() - truth.float()).square().sum(1).mean()


def dice_loss(
    logits: Tensor, class_index: Tensor, cross_entropy_weight: float = 0.0, smoothing: float = EPSILON
) -> Tensor:
    """Return the soft Dice loss of the softmax of ``logits``, plus weighted cross-entropy.

    The same number as ``soft_dice_loss`` of the posteriors, without ever holding a one-hot target.

    Parameters
    ----------
    logits : (B, C, I, J, K)
        Before softmax.
    class_index : (B, I, J, K)
        True class, 0 being the background.
    cross_entropy_weight
        Factor of the mean cross-entropy per voxel; 0 leaves it out.
    smoothing
        Added to numerator and denominator of every Dice.
    """
    with torch.autocast(logits.device.type, enabled=False):
        # Classes last, as the network left them in memory: softmax and sums are then twice as fast on a CPU.
        rows = logits.movedim(1, -1).flatten(1, -2)
        index = class_index.flatten(1).long()
        if rows.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return dice_by_blocks(rows, index, cross_entropy_weight, smoothing)
        log_posteriors = torch.log_softmax(rows.float(), dim=-1)
        log_hit = log_posteriors.gather(2, index.unsqueeze(2)).squeeze(2)
        overlap, volume = _sums_by_class(log_hit.exp(), index, logits.shape[1])
        loss = (1 - _dice(overlap, volume, log_posteriors.exp().square().sum(1), smoothing)).mean()
        return loss - cross_entropy_weight * log_hit.mean() if cross_entropy_weight else loss


def soft_dice_loss(posteriors: Tensor, target: Tensor) -> Tensor:
    """Return the mean over classes and samples of ``1 - soft_dice``."""
    return (1 - soft_dice(posteriors, target)).mean()


def soft_dice(posteriors: Tensor, target: Tensor) -> Tensor:
    """Return soft Dice with squares in the denominator, as in the reference.

    Parameters
    ----------
    posteriors, target : (B, C, ...)
        Not negative; both are divided by their sum over classes first.

    Returns
    -------
    (B, C)
        Near 1 for a class absent from both; near 0 for one absent from the target with any predicted mass.
    """
    with torch.autocast(posteriors.device.type, enabled=False):
        p, g = (_normalised(x.float()).flatten(2) for x in (posteriors, target))
        return _dice((g * p).sum(2), (g**2).sum(2), (p**2).sum(2))


def one_hot(class_index: Tensor, classes: int) -> Tensor:
    """Return the (B, C, I, J, K) float32 indicators of a (B, I, J, K) class index."""
    shape = (class_index.shape[0], classes, *class_index.shape[1:])
    return class_index.new_zeros(shape, dtype=torch.float32).scatter_(1, class_index.long().unsqueeze(1), 1.0)


def _normalised(x: Tensor) -> Tensor:
    return (x / (x.sum(1, keepdim=True) + EPSILON)).clamp(0, 1)


def _sums_by_class(hit: Tensor, index: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the posterior mass on the true class and the voxels of each class, both (B, C).

    In float64 where there is one: voxels are added one after the other, and beside a sum of millions a single voxel
    loses its digits in float32.

    Parameters
    ----------
    hit, index : (B, N)
        Posterior of the true class, and the true class, of every voxel.
    """
    hit = hit if hit.device.type == "mps" else hit.double()
    zeros = hit.new_zeros(hit.shape[0], classes)
    voxels = zeros.scatter_add(1, index, torch.ones_like(hit))
    return zeros.scatter_add(1, index, hit).float(), voxels.float()


def _dice(overlap: Tensor, target_squares: Tensor, posterior_squares: Tensor, smoothing: float = EPSILON) -> Tensor:
    return (2 * overlap + smoothing) / (target_squares + posterior_squares + smoothing)
