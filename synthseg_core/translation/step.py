"""One step of the training of a translator: images made once, discriminators moved, then all generators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, distributed, nn

from synthseg_core.networks.precision import autocast
from synthseg_core.training.config import OptimiserConfig
from synthseg_core.training.optimisers import set_rates
from synthseg_core.training.parallel import Ranks
from synthseg_core.translation.batches import Batch, Pairs
from synthseg_core.translation.config import TranslationConfig
from synthseg_core.translation.dataset import Images
from synthseg_core.translation.state import TranslationState, new_state

PARTS = ("adversarial", "cycle", "reconstruction", "discriminators", "penalty")
"""What a step reports of its losses."""
# Large enough for the speed of convolutions to show, as in the race of trainings on label maps.
_TRIAL_PIXELS = 64


class NonFiniteLossError(Exception):
    """A loss or gradient that is no number; the weights that it would have moved stay as they are."""


@dataclass(frozen=True)
class StepLosses:
    """Losses of one step by the names of :data:`PARTS`, 0 where a part has no turn; and the learning rate."""

    parts: Mapping[str, float]
    learning_rate: float


def train_step(state: TranslationState, config: TranslationConfig, batch: Batch, ranks: Ranks) -> StepLosses:
    """Take one step; ``state`` changes in place.

    Parameters
    ----------
    state
        The training.
    config
        Of the training.
    batch
        Images and random numbers of this process.
    ranks
        Processes that share the step: gradients are averaged over them.

    Raises
    ------
    NonFiniteLossError
        If a loss or gradient is no number.
    """
    for optimiser, own in _optimisers(state, config):
        set_rates(optimiser, own, own.schedule.factor(state.progress(config)))
    adversaries, batch = state.adversaries, batch.to(state.device)
    with autocast(state.device, config.precision):
        made = adversaries.make(batch.images[0], batch.images[1], batch.draws)
    penalised = state.step % config.losses.penalty_interval == 0
    judged = adversaries.discriminator_loss(made, penalised=penalised)
    _move(state.discriminator_optimiser, adversaries.discriminators, judged, config.discriminators, ranks)
    adversaries.discriminators.requires_grad_(False)
    try:
        own = adversaries.generator_loss(made)
        _move(state.generator_optimiser, adversaries.generators, own, config.generators, ranks)
    finally:
        adversaries.discriminators.requires_grad_(True)
    state.average.update(adversaries.generators)
    state.step += 1
    parts = {name: float(own[name].detach()) for name in PARTS[:3] if name in own}
    parts["discriminators"] = _total(judged, penalty=False)
    parts["penalty"] = _total(judged, penalty=True)
    return StepLosses({name: parts.get(name, 0.0) for name in PARTS}, state.generator_optimiser.param_groups[0]["lr"])


def trial_steps(config: TranslationConfig, data: Images, device: torch.device) -> Callable[[str], None]:
    """Return small steps of a training of its own, as a function of the number format: to find out which is fastest.

    Parameters
    ----------
    config
        Of the training that is to begin.
    data
        Its images.
    device
        Where.
    """
    small = replace(config, size=max(config.least_size, min(config.size, _TRIAL_PIXELS)), batch_size=1)
    state, batch = new_state(small, device), Pairs(data, small).batch([0])

    def step(precision: str) -> None:
        train_step(state, replace(small, precision=precision), batch, Ranks())
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def _optimisers(
    state: TranslationState, config: TranslationConfig
) -> Iterable[tuple[torch.optim.Optimizer, OptimiserConfig]]:
    return (
        (state.generator_optimiser, config.generators),
        (state.discriminator_optimiser, config.discriminators),
    )


def _move(
    optimiser: torch.optim.Optimizer,
    nets: nn.Module,
    losses: Mapping[str, Tensor],
    config: OptimiserConfig,
    ranks: Ranks,
) -> None:
    """Move weights against the gradients of the sum of losses; not at all if that is no number."""
    loss = torch.stack([value.float() for value in losses.values()]).sum()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    average_gradients(nets.parameters(), ranks)
    limit = float("inf") if config.clip_norm is None else config.clip_norm
    norm = nn.utils.clip_grad_norm_(nets.parameters(), limit)
    if not torch.isfinite(norm) or not torch.isfinite(loss):
        raise NonFiniteLossError(f"a loss of {loss.item():g} with a gradient of length {norm.item():g}")
    optimiser.step()


def average_gradients(parameters: Iterable[nn.Parameter], ranks: Ranks) -> None:
    """Replace gradients by their mean over processes, in one exchange; penalties have no other way."""
    if ranks.size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= ranks.size
    for gradient, part in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _total(losses: Mapping[str, Tensor], *, penalty: bool) -> float:
    return sum(float(value.detach()) for name, value in losses.items() if name.startswith("penalty") == penalty)
