"""What changes during a training: network, optimiser, scaler, average, counters; and how it is stored.

Refuse to resume a training with another configuration or other data than it began with.

Where a training stands: stage and progress as functions of the steps and seconds spent.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synthseg_core.errors import UsageError, WeightsError
from synthseg_core.networks.building import Network, network_of
from synthseg_core.training.averages import WeightAverage
from synthseg_core.training.checkpoint import random_states, restore_random_states
from synthseg_core.training.config import Stage, TrainConfig
from synthseg_core.training.optimisers import new_optimiser
from synthseg_core.training.start import initialise


@dataclass(frozen=True)
class Position:
    """A moment of a training: index of the stage, and progress from 0 to 1 over all stages."""

    stage: int
    progress: float


def position(config: TrainConfig, step: int, seconds: float, reserve_s: float = 0.0) -> Position:
    """Return where a training stands after ``step`` steps and ``seconds``, ``reserve_s`` being kept for its end.

    Without a budget, seconds do not matter and the answer is exact. With one, progress is whichever is further, the
    share of the steps or of the time: whatever the speed of the machine, and however it changes, the learning rate
    comes down in time.
    """
    progress = step / config.steps
    if config.budget_s is not None:
        progress = max(progress, seconds / max(config.budget_s - reserve_s, 1e-9))
    return Position(_stage_at(config.stages, progress), min(progress, 1.0))


def _stage_at(stages: Sequence[Stage], progress: float) -> int:
    total = sum(stage.steps for stage in stages)
    ends = itertools.accumulate(stage.steps for stage in stages)
    return next((index for index, end in enumerate(ends) if progress < end / total), len(stages) - 1)


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

    net: Network
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
    net = initialise(network_of(config.network), torch.Generator().manual_seed(config.seed))
    net = net.to(device, memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")  # type: ignore[attr-defined]
    average = WeightAverage(net, config.ema_decay) if config.ema_decay else None
    return TrainingState(net, new_optimiser(net, config.optimiser), scaler, average, device)


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


def require_same(path: Path, content: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Raise ``UsageError`` if the checkpoint belongs to another training, naming what differs."""
    if content.get("layout") != LAYOUT:
        raise WeightsError(
            path,
            found=f"a checkpoint of layout {content.get('layout')}",
            expected=f"layout {LAYOUT}",
            remedy="resume with the version of this program that wrote it, or start from its weights elsewhere",
        )
    stored = json.loads(content["identity"])
    if differing := differences(stored, json.loads(json.dumps(identity))):
        raise UsageError(
            path,
            found=f"a training with other settings: {'; '.join(differing)}",
            expected="those that it began with",
            remedy="train in another folder, perhaps starting from these weights",
        )


def differences(stored: Any, asked: Any, name: str = "") -> list[str]:
    """Return one line for each entry of nested dictionaries that differs."""
    if not (isinstance(stored, dict) and isinstance(asked, dict)):
        return [] if stored == asked else [f"{name} {_short(stored)} instead of {_short(asked)}"]
    lines = []
    for key in [*stored, *(key for key in asked if key not in stored)]:
        lines += differences(stored.get(key), asked.get(key), f"{name}.{key}" if name else key)
    return lines


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
