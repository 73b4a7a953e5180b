"""One optimiser step: samples, forward passes, loss, gradients, update.

Gradient checkpointing: features inside a block are computed again for the gradients instead of being kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from synthseg_core.networks.basic_unet import TwoConvolutions
from synthseg_core.networks.precision import autocast
from synthseg_core.networks.unet import ConvBlock, GroupNormBlock
from synthseg_core.training.averages import freeze_norms, set_momentum
from synthseg_core.training.config import TrainConfig
from synthseg_core.training.losses import loss_called
from synthseg_core.training.optimisers import set_rates
from synthseg_core.training.samples import Source, require_fit
from synthseg_core.training.state import TrainingState


class NonFiniteError(Exception):
    """A loss or gradient that is no number; ``seeds`` are those of the samples it came from."""

    def __init__(self, what: str, value: float, seeds: Sequence[int]) -> None:
        super().__init__(f"a {what} of {value}")
        self.seeds = list(seeds)


@dataclass(frozen=True)
class StepResult:
    """Loss of the stage, mean over the samples of a step; length of the gradient before clipping; learning rate."""

    stage: str
    loss: float
    gradient_norm: float
    learning_rate: float


def train_step(
    state: TrainingState,
    config: TrainConfig,
    model: nn.Module,
    source: Source,
    seeds: Sequence[Sequence[int]],
    meanwhile: Callable[[], None] = lambda: None,
) -> StepResult:
    """Take one step; ``state`` changes in place.

    Parameters
    ----------
    state
        The training.
    config
        Of the training.
    model
        What is called: the network of ``state``, or its wrapper that averages gradients over processes.
    source
        Makes the samples of given seeds.
    seeds
        Of the samples of each forward pass.
    meanwhile
        Called once all passes are queued, while a GPU still computes them.

    Raises
    ------
    NonFiniteError
        If a loss or gradient is no number; weights are as before.
    """
    now = state.position(config)
    stage = config.stages[now.stage]
    set_rates(state.optimiser, config.optimiser, config.rate_factor(now.progress))
    state.optimiser.zero_grad(set_to_none=True)
    if config.start_from is None:
        set_momentum(state.net, state.step)
    freeze_norms(state.net, stage.frozen_norms)
    loss = loss_called(stage.loss, stage.cross_entropy, stage.smoothing)
    values: list[Tensor] = []
    for number, some in enumerate(seeds, start=1):
        with _without_exchange(model, number < len(seeds)):
            images, class_index = source.batch(some)
            require_fit(images, class_index, config, state.device)
            logits = forward(model, images, state.device, config.precision)
            value = loss(logits, class_index.to(state.device)) / len(seeds)
            state.scaler.scale(value).backward()
        values.append(value.detach())
    meanwhile()
    for value, some in zip(values, seeds, strict=True):
        _require_finite(value, "loss", some)
    total = float(sum(value.item() for value in values))
    norm = _update(state, config, [seed for some in seeds for seed in some])
    state.step += 1
    return StepResult(stage.loss, total, norm, state.optimiser.param_groups[0]["lr"])


def forward(model: nn.Module, images: Tensor, device: torch.device, precision: str) -> Tensor:
    """Return logits; images lie channels last, and so do logits, which losses over many classes read fastest."""
    images = images.to(device, torch.float32).contiguous(memory_format=torch.channels_last_3d)
    with autocast(device, precision):
        return model(images)


def _require_finite(value: Tensor, what: str, seeds: Sequence[int]) -> None:
    if not torch.isfinite(value):
        raise NonFiniteError(what, value.item(), seeds)


def _update(state: TrainingState, config: TrainConfig, seeds: Sequence[int]) -> float:
    """Move the weights and their average; return the length of the gradient."""
    state.scaler.unscale_(state.optimiser)
    limit = config.optimiser.clip_norm
    norm = nn.utils.clip_grad_norm_(state.net.parameters(), float("inf") if limit is None else limit)
    if not state.scaler.is_enabled():  # a scaler lowers its scale instead, and leaves out the step
        _require_finite(norm, "gradient", seeds)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    if state.average is not None:
        state.average.update(state.net)
    return float(norm)


def _without_exchange(model: nn.Module, skip: bool) -> AbstractContextManager[object]:
    """Let gradients of several passes add up before they are averaged over processes."""
    return model.no_sync() if skip and hasattr(model, "no_sync") else nullcontext()  # type: ignore[operator]


def recompute_features(net: nn.Module) -> None:
    """Make every block of a U-Net forget its inner features; results are the same, memory about half.

    Batch norms lie outside of the blocks, so that nothing counts twice in their running statistics.
    """
    for block in net.modules():
        if isinstance(block, ConvBlock | GroupNormBlock | TwoConvolutions):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]
