"""What changes while a translator is trained, and how a checkpoint holds it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from synthseg_core.networks.translators import new_discriminators, new_generators
from synthseg_core.training.averages import WeightAverage
from synthseg_core.training.checkpoint import random_states, restore_random_states
from synthseg_core.training.optimisers import new_optimiser
from synthseg_core.training.state import LAYOUT
from synthseg_core.translation.adversarial import Adversaries
from synthseg_core.translation.config import TranslationConfig

_COUNTERS = ("step", "seconds", "best_distance", "best_step")
_WEIGHT_STD = 0.02  # of first weights, as adversarial networks have them since DCGAN


@dataclass
class TranslationState:
    """A training of a translator between two steps.

    Parameters
    ----------
    adversaries
        All networks.
    generator_optimiser, discriminator_optimiser
        What moves them.
    average
        Of the generators.
    device
        Where everything is.
    step, seconds
        Spent so far, over all runs.
    best_distance, best_step
        Of the best validation so far.
    """

    adversaries: Adversaries
    generator_optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    average: WeightAverage
    device: torch.device
    step: int = 0
    seconds: float = 0.0
    best_distance: float | None = None
    best_step: int | None = None

    def progress(self, config: TranslationConfig) -> float:
        """Return the share of the training that is done: of its steps, or of its time if that is further."""
        share = self.step / config.steps
        if config.budget_s is not None:
            share = max(share, self.seconds / config.budget_s)
        return min(share, 1.0)

    def averaged(self) -> nn.ModuleDict:
        """Return generators with the average weights, to translate with."""
        generators = copy.deepcopy(self.adversaries.generators)
        generators.load_state_dict(self.average.values)
        return generators.eval()


def new_state(config: TranslationConfig, device: torch.device) -> TranslationState:
    """Return a training at step 0, with weights drawn from the seed."""
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        generators, discriminators = new_generators(config.networks), new_discriminators(config.networks)
        for name, net in generators.items():
            if name.startswith("cycle"):
                _draw_small_weights(net)
    generators, discriminators = generators.to(device), discriminators.to(device)
    return TranslationState(
        Adversaries(config.networks, config.losses, generators, discriminators),
        new_optimiser(generators, config.generators),
        new_optimiser(discriminators, config.discriminators),
        WeightAverage(generators, config.ema_decay),
        device,
    )


def snapshot_of(state: TranslationState, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that a resume needs; ``identity`` says which training it belongs to."""
    return {
        "layout": LAYOUT,
        "identity": json.dumps(identity),
        "generators": state.adversaries.generators.state_dict(),
        "discriminators": state.adversaries.discriminators.state_dict(),
        "generator_optimiser": state.generator_optimiser.state_dict(),
        "discriminator_optimiser": state.discriminator_optimiser.state_dict(),
        "average": state.average.state(),
        **{name: getattr(state, name) for name in _COUNTERS},
        "random": random_states(state.device),
    }


def restore(state: TranslationState, content: Mapping[str, Any]) -> None:
    """Go on where ``snapshot_of`` was taken."""
    state.adversaries.generators.load_state_dict(content["generators"])
    state.adversaries.discriminators.load_state_dict(content["discriminators"])
    state.generator_optimiser.load_state_dict(content["generator_optimiser"])
    state.discriminator_optimiser.load_state_dict(content["discriminator_optimiser"])
    state.average.load(content["average"])
    for name in _COUNTERS:
        setattr(state, name, content[name])
    restore_random_states(content["random"], state.device)


def _draw_small_weights(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, _WEIGHT_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
