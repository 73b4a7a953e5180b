"""The training of a network on samples made as it goes, in a folder that holds all of its results.

The folder: ``config.json``, ``last.pt`` (an exact resume), ``best.pt`` (weights with the best validation), ``log.tsv``,
``validation.tsv``, and ``failure/`` if a loss was no number. A training that finds ``last.pt`` goes on from it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from synthseg_core.atomic import write_json
from synthseg_core.devices import choose_device
from synthseg_core.networks.unet import UNet
from synthseg_core.synth.seeds import sample_seed
from synthseg_core.training.checkpoint import BEST, LAST, read_checkpoint, write_checkpoint
from synthseg_core.training.config import TrainConfig, fixed_part
from synthseg_core.training.failure import stop_on_failure
from synthseg_core.training.identity import require_same
from synthseg_core.training.log import LOG, LOG_COLUMNS, VALIDATION, Table, digits
from synthseg_core.training.parallel import Ranks, passes
from synthseg_core.training.plan import position
from synthseg_core.training.progress import ProgressLine, Report
from synthseg_core.training.samples import Source
from synthseg_core.training.state import TrainingState, new_state, restore, snapshot_of
from synthseg_core.training.step import NonFiniteError, StepResult, train_step
from synthseg_core.training.validation import Scores, Validate, is_better, score_of


@dataclass(frozen=True)
class Outcome:
    """How a training ended: steps and seconds spent, best validation score and its step."""

    folder: Path
    step: int
    seconds: float
    best_score: float | None
    best_step: int | None


def run_training(
    config: TrainConfig,
    source: Source,
    folder: Path,
    *,
    validate: Validate | None = None,
    data: Mapping[str, Any] | None = None,
) -> Outcome:
    """Train until all steps are done or the time budget is spent; go on from ``folder/last.pt`` if it is there.

    Parameters
    ----------
    source
        Makes the samples of given seeds.
    folder
        Of this training alone.
    validate
        Scores weights on other samples; ``None``: no ``best.pt``.
    data
        What the samples are made of, as JSON; a resume with other data is refused.

    Raises
    ------
    UsageError
        If ``last.pt`` belongs to another training.
    TrainingError
        If a loss is not finite: seeds and draws are in ``folder/failure``.
    """
    return Training(config, source, Path(folder), validate=validate, data=data).run()


class Training:
    """One run of a training; see ``run_training``."""

    def __init__(
        self,
        config: TrainConfig,
        source: Source,
        folder: Path,
        *,
        validate: Validate | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = config
        self.source = source
        self.folder = folder
        self.validate = validate
        self.ranks = Ranks()
        self.identity = {"config": fixed_part(config), "data": dict(data or {})}
        self.state = self._start()
        self.model: nn.Module = self.state.net
        self.log = Table(folder / LOG, LOG_COLUMNS, after=self.state.step)
        self.validations = Table(folder / VALIDATION, _validation_columns(config), after=self.state.step)
        self.line = ProgressLine()
        self.recent: list[StepResult] = []
        self.logged_s = self.state.seconds

    def run(self) -> Outcome:
        """Train, write everything, and say how it ended."""
        write_json(self.folder / "config.json", {"training": self.config.to_json(), "data": self.identity["data"]})
        while not self._finished():
            self._step()
        self._save()
        self.line.close()
        state = self.state
        return Outcome(self.folder, state.step, state.seconds, state.best_score, state.best_step)

    def _start(self) -> TrainingState:
        state = new_state(self.config, choose_device(self.config.device))
        if (self.folder / LAST).is_file():
            content = read_checkpoint(self.folder / LAST)
            require_same(self.folder / LAST, content, self.identity)
            restore(state, content)
        return state

    def _finished(self) -> bool:
        return position(self.config, self.state.step, self.state.seconds).progress >= 1

    def _step(self) -> None:
        """Take one step, with the log, checkpoints and validations that are due after it."""
        began = time.monotonic()
        numbers = passes(self.config, self.ranks, self.state.step)
        seeds = [[sample_seed(self.config.seed, number) for number in some] for some in numbers]
        try:
            result = train_step(self.state, self.config, self.model, self.source, seeds)
        except NonFiniteError as failure:
            raise stop_on_failure(self.folder, self.state.step, failure, self.source) from failure
        self.state.seconds += time.monotonic() - began
        self._record(result)
        began = time.monotonic()
        if self.validate is not None and self._due(self.config.intervals.validate):
            self._validate(self.validate)
        if self._due(self.config.intervals.checkpoint):
            self._save()
        self.state.seconds += time.monotonic() - began

    def _due(self, interval: int) -> bool:
        """Whether something that happens every ``interval`` steps, and at the end, happens now."""
        return self._finished() or (interval > 0 and self.state.step % interval == 0)

    def _save(self) -> None:
        write_checkpoint(self.folder / LAST, snapshot_of(self.state, self.identity))

    def _record(self, result: StepResult) -> None:
        """Update the progress line; add a row to the log if it is due."""
        self.recent.append(result)
        loss = sum(one.loss for one in self.recent) / len(self.recent)
        elapsed = max(self.state.seconds - self.logged_s, 1e-9)
        speed = len(self.recent) * self.config.batch_size / elapsed
        stage = self.config.stages[position(self.config, self.state.step - 1, self.state.seconds).stage].loss
        self.line.show(Report(self.state.step, self.config.steps, stage, loss, speed, self._seconds_left(speed)))
        if self._due(self.config.intervals.log):
            self._log(stage, loss, speed)

    def _log(self, stage: str, loss: float, speed: float) -> None:
        self.log.add(
            {
                "step": self.state.step,
                "stage": stage,
                "loss": digits(loss),
                "learning_rate": digits(self.recent[-1].learning_rate),
                "gradient_norm": digits(self.recent[-1].gradient_norm),
                "samples_per_s": digits(speed, 4),
                "seconds": f"{self.state.seconds:.1f}",
            }
        )
        self.recent = []
        self.logged_s = self.state.seconds

    def _seconds_left(self, speed: float) -> float:
        by_steps = (self.config.steps - self.state.step) * self.config.batch_size / speed
        budget = self.config.budget_s
        return by_steps if budget is None else min(by_steps, budget - self.state.seconds)

    def _validate(self, validate: Validate) -> None:
        """Score the average weights; keep them if they are the best so far."""
        net = self._net_of_average()
        table = validate(net)
        score = score_of(table)
        self.validations.add(_validation_row(self.state.step, score, table))
        if is_better(score, self.state.best_score):
            self.state.best_score, self.state.best_step = score, self.state.step
            content = {"network": net.state_dict(), "config": self.config.to_json()["network"]}
            write_checkpoint(self.folder / BEST, {**content, "step": self.state.step, "score": score})

    def _net_of_average(self) -> UNet:
        net = copy.deepcopy(self.state.net)
        net.load_state_dict(self.state.weights())
        return net.eval()


def _validation_columns(config: TrainConfig) -> list[str]:
    return ["step", "score", *(f"class_{index}" for index in range(config.network.out_channels))]


def _validation_row(step: int, score: float, table: Scores) -> dict[str, object]:
    """Return the score and the mean Dice of each class over subjects; ``None`` where no subject has the class."""
    means = [row[~(row != row)].mean() if (row == row).any() else None for row in table]
    classes = {f"class_{index}": None if mean is None else digits(mean) for index, mean in enumerate(means)}
    return {"step": step, "score": digits(score), **classes}
