"""What a training is: network, stages, optimiser, precision; frozen, checked, and stored as JSON beside its results.

Checks of single settings; each failure is one clear line.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from synthseg_core.errors import UsageError
from synthseg_core.networks.config import (
    TRAINED,
    NetworkConfig,
    RegressorConfig,
    UNetConfig,
    architecture_of,
    without_later_defaults,
)
from synthseg_core.system.settings import build, update
from synthseg_core.training.schedule import Schedule


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a name that is not in a list."""
    if value not in allowed:
        raise UsageError(name, found=repr(value), expected=" or ".join(allowed), remedy="correct the name")


def at_least(name: str, value: float, least: float) -> None:
    """Refuse a number that is too small, or none."""
    if not value >= least:
        raise UsageError(name, found=f"{value:g}", expected=f"at least {least:g}", remedy="correct it")


def above_zero(name: str, value: float) -> None:
    """Refuse zero, negative and infinite numbers."""
    if not 0 < value < float("inf"):
        raise UsageError(name, found=f"{value:g}", expected="a number above 0", remedy="correct it")


LOSSES = ("weighted_l2", "dice", "squared_error")
OPTIMISERS = ("adam", "adamw", "muon")
BATCH_RULES = ("none", "square_root")
PRECISIONS = ("float32", "bfloat16", "float16")


SMOOTHING = 1e-7
"""Of Dice in the reference."""


@dataclass(frozen=True)
class Stage:
    """Some steps with one loss.

    Parameters
    ----------
    loss
        ``weighted_l2`` or ``dice``; ``squared_error`` for regressors, and for them alone.
    steps
        Optimiser steps; under a time budget, the share of the stage in the sum over stages.
    cross_entropy
        Weight of cross-entropy added to the Dice loss.
    frozen_norms
        Batch norm uses its running statistics, as in prediction, and leaves them as they are. With one sample a step
        a network otherwise leans on statistics of that very sample, which prediction does not give it.
    smoothing
        Added to numerator and denominator of every Dice.
    """

    loss: str = "dice"
    steps: int = 1000
    cross_entropy: float = 0.0
    frozen_norms: bool = False
    smoothing: float = SMOOTHING

    def __post_init__(self) -> None:
        one_of("loss", self.loss, LOSSES)
        at_least("steps", self.steps, 1)
        at_least("cross_entropy", self.cross_entropy, 0)
        above_zero("smoothing", self.smoothing)


@dataclass(frozen=True)
class OptimiserConfig:
    """How weights follow gradients; the defaults are those that SynthSeg was trained with.

    Parameters
    ----------
    kind
        ``adam``, ``adamw``, or ``muon``: Muon for the kernels between features, AdamW for first layer, head, norms.
    learning_rate
        Peak of the schedule.
    betas, epsilon
        Of Adam, or of the AdamW beside Muon.
    weight_decay
        Not with ``adam``.
    clip_norm
        Longest gradient; longer ones are shortened. ``None``: no limit.
    momentum
        Of Muon.
    rest_learning_rate, rest_weight_decay
        Of the AdamW beside Muon.
    batch_rule
        ``square_root``: learning rates are for one sample a step, and grow with the root of the batch size, samples of
        all processes counted; ``none``: they are as they stand.
    """

    kind: str = "adam"
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-7
    weight_decay: float = 0.0
    clip_norm: float | None = None
    schedule: Schedule = field(default_factory=Schedule)
    momentum: float = 0.95
    rest_learning_rate: float = 2e-3
    rest_weight_decay: float = 1e-4
    batch_rule: str = BATCH_RULES[0]

    def __post_init__(self) -> None:
        one_of("optimiser", self.kind, OPTIMISERS)
        one_of("batch_rule", self.batch_rule, BATCH_RULES)
        for name in ("learning_rate", "epsilon", "rest_learning_rate"):
            above_zero(name, getattr(self, name))
        for name in ("weight_decay", "rest_weight_decay", "momentum"):
            at_least(name, getattr(self, name), 0)
        if self.momentum >= 1:
            raise UsageError("momentum", found=f"{self.momentum:g}", expected="0 to below 1", remedy="correct it")
        if self.clip_norm is not None:
            above_zero("clip_norm", self.clip_norm)
        if self.kind == "adam" and self.weight_decay:
            raise UsageError("weight_decay", found="it with adam", expected="adamw or muon", remedy="choose one, or 0")


@dataclass(frozen=True)
class Intervals:
    """Steps between log rows, checkpoints, validations and snapshots; 0 leaves the last two out until the end."""

    log: int = 10
    checkpoint: int = 250
    validate: int = 1000
    snapshot: int = 1000

    def __post_init__(self) -> None:
        at_least("log", self.log, 1)
        at_least("checkpoint", self.checkpoint, 1)
        at_least("validate", self.validate, 0)
        at_least("snapshot", self.snapshot, 0)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides how a network is trained, the data aside.

    Parameters
    ----------
    network
        Its shape.
    stages
        Losses in order.
    optimiser
        Optimiser and learning-rate schedule; the schedule spans all stages.
    batch_size
        Samples of one optimiser step, over all processes.
    micro_batch
        Samples of one forward pass; ``None``: all that fall to a process. Gradients of the passes are added up.
    seed
        Of initial weights and draws: sample k of a training depends on ``(seed, k)`` alone.
    precision
        ``float32``, or autocast to ``bfloat16`` or ``float16``; losses are float32 always.
    ema_decay
        Of the weight average; 0 switches it off.
    budget_s
        Seconds of training; ``None``: as many steps as the stages have.
    start_from
        Weights to start from; ``None``: random ones.
    start_step
        Steps that these weights have behind them: the place in the schedule to go on from, and the number of the first
        sample.
    gradient_checkpointing
        Compute features twice instead of keeping them: slower, less memory.
    compiled
        Compile the network with ``torch.compile``: minutes at the start, perhaps faster steps, other rounding.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    intervals
        When to write what.
    """

    network: NetworkConfig = field(default_factory=UNetConfig)
    stages: tuple[Stage, ...] = (Stage("weighted_l2", 5000), Stage("dice", 500_000))
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    batch_size: int = 1
    micro_batch: int | None = None
    seed: int = 0
    precision: str = "float32"
    ema_decay: float = 0.999
    budget_s: float | None = None
    start_from: str | None = None
    start_step: int = 0
    gradient_checkpointing: bool = False
    compiled: bool = False
    device: str = "auto"
    intervals: Intervals = field(default_factory=Intervals)

    def __post_init__(self) -> None:
        one_of("precision", self.precision, PRECISIONS)
        at_least("stages", len(self.stages), 1)
        for stage in self.stages:
            _require_suited(stage.loss, self.network)
        at_least("batch_size", self.batch_size, 1)
        at_least("seed", self.seed, 0)
        at_least("start_step", self.start_step, 0)
        if self.start_step and self.start_from is None:
            raise UsageError("start_step", found="no weights", expected="them in start_from", remedy="give both")
        if not 0 <= self.ema_decay < 1:
            raise UsageError("ema_decay", found=f"{self.ema_decay:g}", expected="0 to below 1", remedy="correct it")
        if self.budget_s is not None:
            above_zero("budget", self.budget_s)
        if self.micro_batch is not None and (self.micro_batch < 1 or self.batch_size % self.micro_batch):
            raise UsageError(
                "micro_batch",
                found=str(self.micro_batch),
                expected=f"a divisor of the batch size {self.batch_size}",
                remedy="correct one of them",
            )

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def rate_factor(self, progress: float) -> float:
        """Return the learning rate at a progress from 0 to 1, in units of that of the optimiser."""
        factor = self.optimiser.schedule.factor(progress)
        return factor * self.batch_size**0.5 if self.optimiser.batch_rule == "square_root" else factor

    def to_json(self) -> dict[str, Any]:
        """Return nested dictionaries and lists; settings that came later only where they say something."""
        content = json.loads(json.dumps(dataclasses.asdict(self)))
        content["network"] = network_content(self.network)
        if self.optimiser.kind != "muon":
            for name in _OF_MUON:
                del content["optimiser"][name]
        if not self.start_step:
            del content["start_step"]
        if self.optimiser.batch_rule == BATCH_RULES[0]:
            del content["optimiser"]["batch_rule"]
        for stage in content["stages"]:
            if stage["smoothing"] == SMOOTHING:
                del stage["smoothing"]
        return content

    to_content = to_json

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> TrainConfig:
        """Return the configuration stored by ``to_json``; absent keys keep their defaults, unknown ones are refused."""
        network = network_from(content.get("network", {}), "training configuration, network")
        return build(TrainConfig, {**content, "network": network}, "training configuration")


def network_content(config: NetworkConfig) -> dict[str, Any]:
    """Return the shape of a network as JSON; the name of its architecture only where it is no U-Net."""
    content = without_later_defaults(json.loads(json.dumps(dataclasses.asdict(config))))
    return content if isinstance(config, UNetConfig) else {_ARCHITECTURE: architecture_of(config), **content}


def network_from(content: Any, subject: str, base: NetworkConfig | None = None) -> NetworkConfig:
    """Return the shape of a network from entries; what they leave out is that of ``base``, if that is of their kind.

    Parameters
    ----------
    content
        Fields of a shape; ``architecture`` among them says of which, where it is not that of ``base``.
    subject
        Where they come from, for messages.
    base
        ``None``: the defaults of the architecture.
    """
    if not isinstance(content, Mapping):
        raise UsageError(subject, found=f"{content!r}", expected="entries with names", remedy="correct the entry")
    entries = dict(content)
    name = entries.pop(_ARCHITECTURE, "unet" if base is None else architecture_of(base))
    one_of(f"{subject}, {_ARCHITECTURE}", name, tuple(TRAINED))
    kind = TRAINED[name]
    return update(base if isinstance(base, kind) else kind(), entries, subject)


def _require_suited(loss: str, network: NetworkConfig) -> None:
    if (loss == "squared_error") != isinstance(network, RegressorConfig):
        raise UsageError(
            "stages",
            found=f"the loss {loss} for a network of architecture {architecture_of(network)}",
            expected="squared_error for regressors, another one for all others",
            remedy="correct one of them",
        )


# Entry of a network's shape in files.
_ARCHITECTURE = "architecture"
# Settings of the optimiser that no other kind has.
_OF_MUON = ("momentum", "rest_learning_rate", "rest_weight_decay")
FREE = (
    "device",
    "intervals",
    "budget_s",
    "start_from",
    "start_step",
    "micro_batch",
    "gradient_checkpointing",
    "compiled",
)
"""Settings that may change while a training goes on: none changes what a step does. The number of steps may grow."""


def fixed_part(config: TrainConfig) -> dict[str, Any]:
    """Return what must be equal to resume a training."""
    content = {name: value for name, value in config.to_json().items() if name not in FREE}
    for stage in content["stages"]:
        del stage["steps"]
    return content
