"""A training as it was asked for: configuration, samples, folder, validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from synthseg_core.labels.table import LabelTable
from synthseg_core.training.config import TrainConfig, fixed_part
from synthseg_core.training.samples import Source
from synthseg_core.training.validation import Validate

Picture = Callable[[Path, Tensor, Tensor, Tensor, str], None]
"""Takes the folder of a training, images and targets of a sample (B = 1), the network's output for it, and what
validations measure; writes ``snapshot.png``."""


@dataclass(frozen=True)
class RunOptions:
    """How one run of a training behaves; nothing here changes what is trained, but for the table where it starts.

    Parameters
    ----------
    began
        ``time.monotonic()`` when the program began, for time budgets; ``None``: when the training begins.
    snapshot
        What draws ``snapshot.png``; needs matplotlib. ``None``: no picture.
    measure
        What validations measure, larger being better.
    tensorboard
        Write events for TensorBoard.
    ahead
        Make the samples of the next step while this one is computed; ``None``: on GPUs. On a CPU a thread
        makes them: not for sources that use what the program uses, too, such as the global random numbers.
    table
        What the network's classes mean, to find them in the weights that it starts from.
    """

    began: float | None = None
    snapshot: Picture | None = None
    measure: str = "Dice"
    tensorboard: bool = False
    ahead: bool | None = None
    table: LabelTable | None = None


@dataclass(frozen=True)
class Run:
    """Everything that one call of :func:`synthseg_core.training.loop.run_training` works with.

    Parameters
    ----------
    config
        Network, stages, optimiser.
    source
        Where samples come from.
    folder
        Where everything is written.
    validate
        Scores a network; ``None``: no validation.
    data
        What the samples are made of; a resume with other data is refused.
    options
        How this run behaves.
    """

    config: TrainConfig
    source: Source
    folder: Path
    validate: Validate | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    options: RunOptions = field(default_factory=RunOptions)

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same to resume."""
        return {"config": fixed_part(self.config), "data": dict(self.data)}
