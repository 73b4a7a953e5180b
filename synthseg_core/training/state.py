"""What changes during a training: network, optimiser, scaler, average, counters; and how it is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from synthseg_core.networks.unet import UNet
from synthseg_core.training.averages import WeightAverage
from synthseg_core.training.checkpoint import random_states, restore_random_states
from synthseg_core.training.config import OptimiserConfig, TrainConfig
from synthseg_core.training.initial import initialise
from synthseg_core.training.plan import Position, position

LAYOUT = 1  # of the checkpoint
_COUNTERS = ("step", "seconds", "validating_s", "validation_s", "reserve_s", "best_score", "best_step")


@dataclass
class TrainingState:
    """A training between two steps.

    Parameters
    ----------
    average
        Running average of the weights; ``None`` if it is switched off.
    step, seconds
        Spent so far, over all runs of this training.
    validating_s, validation_s
        Of the seconds, those spent in validations; those that the last one took.
    reserve_s
        Seconds to keep for the end of a training with a time budget.
    best_score, best_step
        Of the best validation so far.
    """

    net: UNet
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # type: ignore[name-defined]
    average: WeightAverage | None
    device: torch.device
    step: int = 0
    seconds: float = 0.0
    validating_s: float = 0.0
    validation_s: float = 0.0
    reserve_s: float = 0.0
    best_score: float | None = None
    best_step: int | None = None

    def position(self, config: TrainConfig) -> Position:
        """Return stage and progress."""
        return position(config, self.step, self.seconds, self.reserve_s)

    def finished(self, config: TrainConfig) -> bool:
        """Say whether all steps are done or the time is up."""
        return self.position(config).progress >= 1

    def weights(self) -> dict[str, Tensor]:
        """Return the weights to validate and export: the average if there is one."""
        return self.net.state_dict() if self.average is None else self.average.values


def new_state(config: TrainConfig, device: torch.device) -> TrainingState:
    """Return a training at step 0, with weights drawn from the seed."""
    net = initialise(UNet(config.network), torch.Generator().manual_seed(config.seed))
    net = net.to(device, memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")  # type: ignore[attr-defined]
    average = WeightAverage(net, config.ema_decay) if config.ema_decay else None
    return TrainingState(net, new_optimiser(net, config.optimiser), scaler, average, device)


def new_optimiser(net: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """Return the optimiser with empty moments."""
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return kind(
        net.parameters(),
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
    )


def snapshot_of(state: TrainingState, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that a resume needs; ``identity`` says which training it belongs to."""
    return {
        "layout": LAYOUT,
        "identity": json.dumps(identity),
        "network": state.net.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "scaler": state.scaler.state_dict(),
        "average": None if state.average is None else state.average.state(),
        **{name: getattr(state, name) for name in _COUNTERS},
        "random": random_states(state.device),
    }


def restore(state: TrainingState, content: Mapping[str, Any]) -> None:
    """Go on where ``snapshot_of`` was taken."""
    state.net.load_state_dict(content["network"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.scaler.load_state_dict(content["scaler"])
    if state.average is not None:
        state.average.load(content["average"])
    for name in _COUNTERS:
        setattr(state, name, content.get(name, getattr(state, name)))
    restore_random_states(content["random"], state.device)
