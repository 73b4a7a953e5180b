"""What the training of a translator is: networks, losses, optimisers; frozen, checked, and stored as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from synthseg_core.errors import UsageError
from synthseg_core.networks.translator_config import TranslatorNetworks
from synthseg_core.system.paths import resource, resource_names
from synthseg_core.system.settings import read_mapping, to_content, update
from synthseg_core.training.config import PRECISIONS, Intervals, OptimiserConfig, at_least, one_of
from synthseg_core.training.schedule import Schedule

PRESETS = "translation"


@dataclass(frozen=True)
class LossWeights:
    """Weights of what generators are trained with.

    Parameters
    ----------
    adversarial
        Of being taken for true.
    reconstruction
        Of the L1 distance between the clean image and the guess from a noisy one.
    cycle
        Of the L1 distance between an image and itself, there and back.
    gradient_penalty
        Gamma of the R1 penalty on true images.
    penalty_interval
        Steps from one penalty to the next; its weight is not raised for those between.
    """

    adversarial: float = 1.0
    reconstruction: float = 0.5
    cycle: float = 0.5
    gradient_penalty: float = 1.0
    penalty_interval: int = 10

    def __post_init__(self) -> None:
        for name in ("adversarial", "reconstruction", "cycle", "gradient_penalty"):
            at_least(name, getattr(self, name), 0)
        at_least("penalty_interval", self.penalty_interval, 1)


def _adam(learning_rate: float) -> OptimiserConfig:
    """Return Adam as adversarial trainings have it."""
    schedule = Schedule("cosine", final=0.06)  # to 1e-5 of 1.6e-4
    return OptimiserConfig(learning_rate=learning_rate, betas=(0.5, 0.9), epsilon=1e-8, schedule=schedule)


@dataclass(frozen=True)
class TranslationConfig:
    """Everything that decides how a translator is trained, the images aside.

    Parameters
    ----------
    networks
        Their shapes, and the method.
    size
        Height and width of the crops, pixels.
    steps
        Optimiser steps, of discriminators and generators each.
    batch_size
        Images of each domain in a step, over all processes.
    losses
        Their weights.
    generators, discriminators
        Their optimisers.
    ema_decay
        Of the average of the generators, which is what translates.
    seed
        Of first weights and draws: pair k of a training depends on ``(seed, k)`` alone.
    precision
        ``float32``, or autocast to ``bfloat16``; losses and penalties are float32 always.
    validation_images
        Of each domain, translated there and back in a validation; 0: no validation.
    budget_s
        Seconds of training; ``None``: as many steps as asked for.
    intervals
        Steps between rows of the log, checkpoints, validations, previews.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    """

    networks: TranslatorNetworks = field(default_factory=TranslatorNetworks)
    size: int = 256
    steps: int = 100_000
    batch_size: int = 1
    losses: LossWeights = field(default_factory=LossWeights)
    generators: OptimiserConfig = field(default_factory=lambda: _adam(1.6e-4))
    discriminators: OptimiserConfig = field(default_factory=lambda: _adam(1e-4))
    ema_decay: float = 0.999
    seed: int = 0
    precision: str = "float32"
    validation_images: int = 16
    budget_s: float | None = None
    intervals: Intervals = field(default_factory=Intervals)
    device: str = "auto"

    def __post_init__(self) -> None:
        one_of("precision", self.precision, PRECISIONS[:2])
        for name in ("steps", "batch_size"):
            at_least(name, getattr(self, name), 1)
        for name in ("seed", "validation_images"):
            at_least(name, getattr(self, name), 0)
        if not 0 < self.ema_decay < 1:
            raise UsageError("ema_decay", found=f"{self.ema_decay:g}", expected="above 0, below 1", remedy="correct it")
        least = self.least_size
        if self.size < least or self.size % self.networks.multiple:
            raise UsageError(
                "size",
                found=f"crops of {self.size} pixels",
                expected=f"multiples of {self.networks.multiple}, {least} or more, for these networks",
                remedy="change the size, or use fewer layers",
            )

    @property
    def least_size(self) -> int:
        """Edge of the smallest crops for these networks, a power of two, pixels."""
        return max(2 ** (self.networks.discriminator.layers + 2), 2 * self.networks.multiple)

    @staticmethod
    def preset(name: str) -> TranslationConfig:
        """Return one of the package's own trainings, which lie in ``resources/translation``.

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        if name not in preset_names():
            names = ", ".join(preset_names())
            raise UsageError("preset", found=repr(name), expected=f"one of {names}", remedy="choose a preset")
        return TranslationConfig().changed(read_mapping(resource(PRESETS, f"{name}.yaml"), "preset"), f"preset {name}")

    def changed(self, content: Mapping[str, Any], subject: str = "settings") -> TranslationConfig:
        """Return the configuration with some settings replaced, nested as in a settings file.

        Parameters
        ----------
        content
            The settings.
        subject
            Where they come from, for messages.
        """
        return update(self, content, subject)

    def identity(self) -> dict[str, Any]:
        """Return what must be the same to resume; the number of steps may grow."""
        content = to_content(self)
        return {name: value for name, value in content.items() if name not in _FREE}


# Settings that may change while a training goes on.
_FREE = ("steps", "budget_s", "intervals", "device", "validation_images")


def preset_names() -> tuple[str, ...]:
    """Return the names of the package's own trainings of translators."""
    return resource_names(PRESETS)
