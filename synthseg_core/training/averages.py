"""A running average of weights: smoother than the last ones, and what validation and export use.

Running statistics of batch norm: quick while a network is young, and fixed when it is to learn to live with them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from synthseg_core.networks.unet import NORM_MOMENTUM


class WeightAverage:
    """Exponential moving average of everything in a network's state; counters are copied.

    Parameters
    ----------
    net
        The average starts as a copy of its state.
    decay
        Share of the old average kept at each step; early on less, so that the first weights are soon forgotten.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.values = {name: value.detach().clone() for name, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Move the average towards the present state."""
        self.updates += 1
        decay = decay_after(self.updates, self.decay)
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1 - decay)
            else:
                self.values[name].copy_(value)

    def state(self) -> dict[str, object]:
        """Return what a checkpoint has to hold."""
        return {"updates": self.updates, "values": self.values}

    def load(self, state: Mapping[str, object]) -> None:
        """Go on from a checkpoint."""
        values: Mapping[str, Tensor] = state["values"]  # type: ignore[assignment]
        self.updates = int(state["updates"])  # type: ignore[call-overload]
        for name, value in self.values.items():
            value.copy_(values[name])


def decay_after(updates: int, decay: float) -> float:
    """Return the decay of the n-th update: at most ``(1 + n) / (10 + n)``, the usual warm-up."""
    return min(decay, (1 + updates) / (10 + updates))


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
