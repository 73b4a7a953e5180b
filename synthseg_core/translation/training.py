"""The training of a translator, in a folder that holds all of its results; one that was interrupted goes on.

The folder: ``config.json``, ``last.pt`` (an exact resume), ``best.pt`` (average weights with the best validation),
``log.tsv``, ``validation.tsv``, ``preview.png``. Pieces are those of :mod:`synthseg_core.training`, the loop is not,
since two sets of networks move in turn here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from synthseg_core.errors import TrainingError
from synthseg_core.networks.devices import choose_device, explained_exhaustion
from synthseg_core.networks.precision import fixed_shapes
from synthseg_core.system.atomic import write_json
from synthseg_core.system.progress import StatusLine
from synthseg_core.system.settings import to_content
from synthseg_core.system.signals import Interruption, deferred
from synthseg_core.training.checkpoint import BEST, CONFIG, LAST, read_checkpoint, write_checkpoint
from synthseg_core.training.config import at_least
from synthseg_core.training.log import LOG, VALIDATION, Table, digits
from synthseg_core.training.parallel import Agreement, Ranks, joined
from synthseg_core.training.recorder import Board, duration
from synthseg_core.training.state import require_same
from synthseg_core.translation.batches import Pairs
from synthseg_core.translation.config import TranslationConfig
from synthseg_core.translation.dataset import Images, require_images
from synthseg_core.translation.preview import PREVIEW, write_preview
from synthseg_core.translation.state import TranslationState, new_state, restore, snapshot_of
from synthseg_core.translation.step import PARTS, NonFiniteLossError, StepLosses, train_step
from synthseg_core.translation.validation import Examples, scores_of, translated_examples, validation_images

LOG_COLUMNS = ("step", *PARTS, "learning_rate", "images_per_s", "seconds")
VALIDATION_COLUMNS = ("step", "round_trip_l1", "grey_distance", "distance")
_REDRAW_S = 0.5
_MEMORY = {
    "purpose": "a step",
    "expected": "room for the features of all networks",
    "remedy": "use a smaller size, batch or network",
}


@dataclass(frozen=True)
class TranslationRun:
    """A training as it was asked for.

    Parameters
    ----------
    config
        Networks, losses, optimisers.
    data
        Images of two domains.
    folder
        Where everything is written.
    facts
        What the data are, as JSON; a resume with others is refused.
    paired
        Whether images of one number show the same place.
    pictures
        Draw ``preview.png``; needs matplotlib.
    tensorboard
        Write events for TensorBoard.
    """

    config: TranslationConfig
    data: Images
    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    paired: bool = False
    pictures: bool = False
    tensorboard: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same to resume."""
        return {"config": self.config.identity(), "data": dict(self.facts)}


@dataclass(frozen=True)
class TranslationOutcome:
    """How a training ended.

    Parameters
    ----------
    step, seconds
        Spent by all runs of this training.
    best_distance, best_step
        Of the best validation; ``None`` without one.
    finished
        Whether nothing is left to do: ``False`` if somebody asked to stop.
    """

    step: int
    seconds: float
    best_distance: float | None
    best_step: int | None
    finished: bool


def train_translator(run: TranslationRun) -> TranslationOutcome:
    """Train until all steps are done or the time is up; go on from ``last.pt`` if it is there.

    Raises
    ------
    UsageError
        If ``last.pt`` belongs to another training.
    InputError
        If a domain has no images.
    TrainingError
        If a loss is no number.
    """
    with joined(run.config.device) as ranks, deferred() as interruption, fixed_shapes():
        return _Training(run, ranks).until_done(interruption)


class _Training:
    """One run of a training, in one of its processes."""

    def __init__(self, run: TranslationRun, ranks: Ranks) -> None:
        at_least("batch_size", run.config.batch_size / ranks.size, 1)
        self.run, self.config, self.ranks = run, run.config, ranks
        self.pairs = Pairs(run.data, run.config, paired=run.paired)
        self.state = started(run, choose_device(ranks.device(run.config.device)))
        self.results = _Results(run, self.state) if ranks.writes else None

    def until_done(self, interruption: Interruption) -> TranslationOutcome:
        """Take steps until the end, and write what is due after each."""
        state, stop = self.state, False
        began = time.monotonic()
        while not stop and state.progress(self.config) < 1:
            losses = self._step()
            now = time.monotonic()
            agreed = self.ranks.agree(Agreement(0.0, state.seconds + now - began, 0.0, interruption.asked))
            state.seconds, stop, began = agreed.seconds, agreed.stop, now
            if self.results is not None:
                self.results.after_step(losses)
        if self.results is not None:
            self.results.close(save=stop)
        finished = state.progress(self.config) >= 1
        return TranslationOutcome(state.step, state.seconds, state.best_distance, state.best_step, finished)

    def _step(self) -> StepLosses:
        """Take a step with the pairs whose turn it is; each process takes an equal part of them."""
        first = self.state.step * self.config.batch_size
        numbers = range(first + self.ranks.rank, first + self.config.batch_size, self.ranks.size)
        try:
            with explained_exhaustion("training", **_MEMORY):
                return train_step(self.state, self.config, self.pairs.batch(numbers), self.ranks)
        except NonFiniteLossError as failure:
            raise TrainingError(
                self.run.folder,
                found=f"{failure} at step {self.state.step + 1}",
                expected="finite numbers",
                remedy="go on from last.pt with a lower learning rate, float32 or clip_norm, in another folder",
            ) from failure


def started(run: TranslationRun, device: torch.device) -> TranslationState:
    """Return the state of ``last.pt``, or a new one."""
    state = new_state(run.config, device)
    last = run.folder / LAST
    if last.is_file():
        content = read_checkpoint(last)
        require_same(last, content, run.identity)
        restore(state, content)
    return state


class _Results:
    """Writes what is due after a step; only one process of a training has it."""

    def __init__(self, run: TranslationRun, state: TranslationState) -> None:
        self.run, self.config, self.state = run, run.config, state
        self.images = _validation_images(run)
        write_json(run.folder / CONFIG, {"translation": to_content(run.config), "data": dict(run.facts)})
        self.log = Table(run.folder / LOG, LOG_COLUMNS, after=state.step)
        self.validations = Table(run.folder / VALIDATION, VALIDATION_COLUMNS, after=state.step)
        self.board = Board(run.folder / "tensorboard", state.step) if run.tensorboard else None
        self.line = StatusLine(interval_s=_REDRAW_S, leave=True)
        self.recent: list[StepLosses] = []
        self.recent_since_s = state.seconds

    def after_step(self, losses: StepLosses) -> None:
        """Write the log, validate, draw and save, as far as it is their turn."""
        intervals = self.config.intervals
        self.recent.append(losses)
        self._show()
        if self._due(intervals.log):
            self._add_row()
        validates = self.images is not None and self._due(intervals.validate)
        draws = self.images is not None and self.run.pictures and intervals.snapshot and self._due(intervals.snapshot)
        if validates or draws:
            self._look(score=validates, draw=bool(draws))
        if self._due(intervals.checkpoint):
            self._save()

    def close(self, *, save: bool) -> None:
        """End the logs; ``save`` writes ``last.pt`` once more, for a training that was asked to stop."""
        if save:
            self._save()
        self.line.close()
        if self.board is not None:
            self.board.close()

    def _due(self, interval: int) -> bool:
        """Say whether something that happens every ``interval`` steps, and at the end, happens now."""
        return self.state.progress(self.config) >= 1 or (interval > 0 and self.state.step % interval == 0)

    def _save(self) -> None:
        write_checkpoint(self.run.folder / LAST, snapshot_of(self.state, self.run.identity))

    def _means(self) -> dict[str, float]:
        """Return mean losses of recent steps; of the penalty over those that had one."""
        means = {name: _mean([one.parts[name] for one in self.recent]) for name in PARTS}
        means["penalty"] = _mean([one.parts["penalty"] for one in self.recent if one.parts["penalty"]])
        return means

    def _speed(self) -> float:
        """Return images a second, of both domains."""
        seconds = max(self.state.seconds - self.recent_since_s, 1e-9)
        return 2 * self.config.batch_size * len(self.recent) / seconds

    def _show(self) -> None:
        if not self.line.live:
            return
        means, speed, state = self._means(), self._speed(), self.state
        left = (self.config.steps - state.step) * 2 * self.config.batch_size / speed
        if self.config.budget_s is not None:
            left = min(left, self.config.budget_s - state.seconds)
        losses = "  ".join(f"{name} {means[name]:.3f}" for name in PARTS if means[name])
        self.line.draw(f"step {state.step}/{self.config.steps}  {losses}  {speed:.1f} images/s  {duration(left)} left")

    def _add_row(self) -> None:
        rate = self.recent[-1].learning_rate
        numbers = {**self._means(), "learning_rate": rate, "images_per_s": self._speed()}
        self.log.add(
            {
                "step": self.state.step,
                **{name: digits(value) for name, value in numbers.items()},
                "seconds": f"{self.state.seconds:.1f}",
            }
        )
        if self.board is not None:
            self.board.add(self.state.step, numbers)
        self.recent, self.recent_since_s = [], self.state.seconds

    def _look(self, *, score: bool, draw: bool) -> None:
        """Translate the validation images there and back; score the average weights, and draw what came of them."""
        assert self.images is not None
        generators = self.state.averaged()
        images = self.images[0].to(self.state.device), self.images[1].to(self.state.device)
        examples = translated_examples(self.config.networks, dict(generators.items()), images)
        if score:
            self._score(examples, generators.state_dict())
        if draw:
            first, second = self.run.data.domains
            write_preview(self.run.folder / PREVIEW, examples, (first, second), f"step {self.state.step}")

    def _score(self, examples: Examples, weights: Mapping[str, torch.Tensor]) -> None:
        scores, state = scores_of(examples), self.state
        row = {name: digits(getattr(scores, name)) for name in VALIDATION_COLUMNS[1:]}
        self.validations.add({"step": state.step, **row})
        if self.board is not None:
            self.board.add(state.step, {name: float(value) for name, value in row.items()})
        if state.best_distance is None or scores.distance < state.best_distance:
            state.best_distance, state.best_step = scores.distance, state.step
            content = {"generators": dict(weights), "step": state.step, "distance": scores.distance}
            write_checkpoint(self.run.folder / BEST, content)


def _validation_images(run: TranslationRun) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the images to validate on; ``None`` where none are wanted."""
    most = run.config.validation_images
    if not most:
        return None
    for domain in run.data.domains:
        require_images(run.data, domain, "val")
    return validation_images(run.data, "val", most, run.config.size)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
