"""What a training says and writes while it runs, its checkpoints aside: a line, logs, TensorBoard events."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthseg_core.errors import UsageError
from synthseg_core.system.progress import StatusLine
from synthseg_core.training.config import TrainConfig
from synthseg_core.training.log import LOG, LOG_COLUMNS, VALIDATION, Table, digits
from synthseg_core.training.state import TrainingState
from synthseg_core.training.step import StepResult
from synthseg_core.training.validation import Scores

_REDRAW_S = 0.5


@dataclass(frozen=True)
class Report:
    """What the progress line shows: step of how many (``None``: as time allows), stage, loss, speed, seconds left."""

    step: int
    steps: int | None
    stage: str
    loss: float
    samples_per_s: float
    seconds_left: float


def text_of(report: Report, used_bytes: int) -> str:
    """Return the progress line."""
    total = "" if report.steps is None else f"/{report.steps}"
    return (
        f"step {report.step}{total}  {report.stage}  loss {report.loss:.4f}  "
        f"{report.samples_per_s:.2f} samples/s  {used_bytes / 2**30:.1f} GiB  {duration(report.seconds_left)} left"
    )


def duration(seconds: float) -> str:
    """Return hours, minutes and seconds as in ``1:05:00`` or ``5:00``."""
    minutes, second = divmod(int(max(seconds, 0)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


def memory_bytes() -> int:
    """Return the most memory that was in use so far: the GPU's if there is one, else this process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


class Board:
    """Writes numbers by step.

    Parameters
    ----------
    folder
        For event files.
    after
        Events of an earlier run beyond this step are hidden by TensorBoard.

    Raises
    ------
    UsageError
        If TensorBoard is not installed.
    """

    def __init__(self, folder: Path, after: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "--tensorboard",
                found="no package tensorboard",
                expected="it installed",
                remedy="run: pip install 'synthseg-bids[tensorboard]', or leave the option out (log.tsv has the same)",
            ) from error
        self.writer = SummaryWriter(str(folder), purge_step=after + 1)

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write some numbers of a step."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        self.writer.close()


@dataclass
class _Recent:
    """Steps since the last row of the log, and when that was; a row is about one stage."""

    seconds: float
    loss: float = 0.0
    steps: int = 0
    last: tuple[int, StepResult] | None = None

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.steps, 1)

    def speed(self, seconds: float, batch_size: int) -> float:
        """Return samples a second."""
        return self.steps * batch_size / max(seconds - self.seconds, 1e-9)


class Recorder:
    """Log, validation table, progress line, and TensorBoard if wanted.

    Parameters
    ----------
    state
        Where the training begins or goes on; later rows of an earlier run are dropped.
    tensorboard
        Write events for TensorBoard too.
    """

    def __init__(self, config: TrainConfig, folder: Path, state: TrainingState, *, tensorboard: bool = False) -> None:
        self.config = config
        self.log = Table(folder / LOG, LOG_COLUMNS, after=state.step)
        self.validations = Table(folder / VALIDATION, validation_columns(config), after=state.step)
        self.line = StatusLine(interval_s=_REDRAW_S, leave=True)
        self.board = Board(folder / "tensorboard", state.step) if tensorboard else None
        self.recent = _Recent(state.seconds)

    def step(self, state: TrainingState, result: StepResult, *, row: bool) -> None:
        """Take note of a step; add a row to the log if ``row``, or before a new stage begins."""
        if self.recent.last is not None and self.recent.last[1].stage != result.stage:
            self._add_row(*self.recent.last, state.seconds)
        self.recent.loss += result.loss
        self.recent.steps += 1
        self.recent.last = state.step, result
        speed = self.recent.speed(state.seconds, self.config.batch_size)
        left = seconds_left(self.config, state, speed)
        steps = None if self.config.budget_s else self.config.steps
        report = Report(state.step, steps, result.stage, self.recent.mean_loss, speed, left)
        self.line.draw(text_of(report, memory_bytes()))
        if row:
            self._add_row(state.step, result, state.seconds)

    def validation(self, step: int, score: float, table: Scores) -> None:
        """Add a row of Dice."""
        self.validations.add(validation_row(step, score, table))
        if self.board is not None:
            self.board.add(step, {"validation score": score})

    def close(self) -> None:
        """End the progress line and the events."""
        self.line.close()
        if self.board is not None:
            self.board.close()

    def _add_row(self, step: int, result: StepResult, seconds: float) -> None:
        """Write the mean over recent steps, of which ``step`` is the last, and begin anew."""
        speed = self.recent.speed(seconds, self.config.batch_size)
        row: dict[str, Any] = {
            "step": step,
            "stage": result.stage,
            "loss": digits(self.recent.mean_loss),
            "learning_rate": digits(result.learning_rate),
            "gradient_norm": digits(result.gradient_norm),
            "samples_per_s": digits(speed, 4),
            "seconds": f"{seconds:.1f}",
        }
        self.log.add(row)
        if self.board is not None:
            self.board.add(step, _numbers(row))
        self.recent = _Recent(seconds)


def seconds_left(config: TrainConfig, state: TrainingState, samples_per_s: float) -> float:
    """Return how long a training still takes: by its steps, or its budget if that ends first."""
    by_steps = (config.steps - state.step) * config.batch_size / samples_per_s
    return by_steps if config.budget_s is None else min(by_steps, config.budget_s - state.seconds)


def validation_columns(config: TrainConfig) -> list[str]:
    """Return the columns of the validation table."""
    return ["step", "score", *(f"class_{index}" for index in range(config.network.out_channels))]


def validation_row(step: int, score: float, table: Scores) -> dict[str, object]:
    """Return the score and the mean Dice of each class over subjects; ``None`` where no subject has the class."""
    finite = [row[np.isfinite(row)] for row in table]
    classes = {f"class_{index}": digits(row.mean()) if len(row) else None for index, row in enumerate(finite)}
    return {"step": step, "score": digits(score), **classes}


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if name not in ("step", "stage", "seconds")}
