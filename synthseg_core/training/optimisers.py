"""Optimisers: Adam and AdamW of torch, and Muon for kernels with AdamW for what is no matrix.

References
----------
Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024: the momentum of a matrix is replaced by
the nearest matrix whose singular values are all one, so that no direction of a layer is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from synthseg_core.training.config import OptimiserConfig

# Of the odd polynomial whose repetition sends singular values in (0, 1] to about 1: within 0.3 after five times.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_TIMES = 5
# Kernels that AdamW keeps: what reads the image and what gives the classes are no maps between features.
_OUTER_KERNELS = ("down.0.conv0.weight", "head.weight", "conv_0.conv_0.conv.weight", "final_conv.weight")


def new_optimiser(net: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """Return the optimiser with empty moments."""
    if config.kind == "muon":
        return Muon(*_parted(net), config)
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return kind(
        net.parameters(),
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
    )


def set_rates(optimiser: torch.optim.Optimizer, config: OptimiserConfig, factor: float) -> None:
    """Set the learning rates to a share of their peaks."""
    peaks = (config.learning_rate, config.rest_learning_rate) if config.kind == "muon" else (config.learning_rate,)
    for group, peak in zip(optimiser.param_groups, peaks, strict=True):
        group["lr"] = peak * factor


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum for the kernels, AdamW for the rest, as one optimiser with one state.

    Parameters
    ----------
    kernels
        Of any number of axes; each is taken for a matrix, output channels times all else.
    rest
        Norms, biases, outer layers.
    """

    def __init__(self, kernels: Sequence[Tensor], rest: Sequence[Tensor], config: OptimiserConfig) -> None:
        inner = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "momentum": config.momentum}
        outer = {
            "lr": config.rest_learning_rate,
            "weight_decay": config.rest_weight_decay,
            "betas": config.betas,
            "eps": config.epsilon,
        }
        super().__init__([{"params": list(kernels), **inner}, {"params": list(rest), **outer}], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient; closures are not for this optimiser."""
        assert closure is None
        kernels, rest = self.param_groups
        for group, move in ((kernels, _muon_step), (rest, _adamw_step)):
            for parameter in group["params"]:
                if parameter.grad is not None:
                    move(parameter, parameter.grad, self.state[parameter], group)


def _muon_step(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> None:
    if not state:
        state["momentum"] = torch.zeros_like(parameter)
    keep, rate = group["momentum"], group["lr"]
    momentum = state["momentum"].lerp_(gradient, 1 - keep)
    ahead = gradient.lerp(momentum, keep).flatten(1)  # Nesterov: where the momentum will be
    # Tall matrices have fewer directions than outputs: enlarged, so that outputs change as much as with wide ones.
    update = orthogonalised(ahead) * max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
    parameter.mul_(1 - rate * group["weight_decay"]).add_(update.view_as(parameter), alpha=-rate)


def orthogonalised(matrix: Tensor, times: int = _TIMES) -> Tensor:
    """Return about U V^T of a matrix U S V^T, by Newton and Schulz's iteration, without a decomposition."""
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(times):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


def _adamw_step(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> None:
    if not state:
        state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
    state["step"] += 1
    (first, second), rate = group["betas"], group["lr"]
    mean = state["mean"].lerp_(gradient, 1 - first)
    square = state["square"].lerp_(gradient.square(), 1 - second)
    spread = (square / (1 - second ** state["step"])).sqrt_().add_(group["eps"])
    parameter.mul_(1 - rate * group["weight_decay"]).addcdiv_(mean, spread, value=-rate / (1 - first ** state["step"]))


def _parted(net: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the kernels between features, and all other parameters."""
    kernels, rest = [], []
    for name, parameter in net.named_parameters():
        (kernels if parameter.ndim == 5 and name not in _OUTER_KERNELS else rest).append(parameter)
    return kernels, rest
