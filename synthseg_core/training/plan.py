"""Where a training stands: stage and progress as functions of the steps and seconds spent."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from synthseg_core.training.config import Stage, TrainConfig


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
