"""Running statistics of batch norm: quick while a network is young, and fixed when it is to learn to live with them."""

from __future__ import annotations

from torch import nn

from synthseg_core.networks.unet import NORM_MOMENTUM
from synthseg_core.training.averages import decay_after


def set_momentum(net: nn.Module, step: int) -> None:
    """Let running statistics follow faster in the first steps: ``9 / (10 + step)``, down to the reference's 0.01.

    At 0.01 from the start, hundreds of steps pass before they have anything to do with the features, and a short
    training is judged with statistics that it never had.
    """
    momentum = max(1 - decay_after(step, 1.0), NORM_MOMENTUM)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = momentum


def freeze_norms(net: nn.Module, frozen: bool) -> None:
    """Let batch norms use their running statistics, as in prediction, or those of the samples at hand."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.train(not frozen)
