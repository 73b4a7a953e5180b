"""The training of a network on samples made as it goes, in a folder that holds all of its results.

The folder: ``config.json``, ``last.pt`` (an exact resume), ``best.pt`` (weights with the best validation), ``log.tsv``,
``validation.tsv``, ``snapshot.png``, and ``failure/`` if a loss was no number. A training that finds ``last.pt`` goes
on from it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from synthseg_core.errors import UsageError
from synthseg_core.networks.devices import choose_device
from synthseg_core.networks.precision import fixed_shapes
from synthseg_core.synth.randomness import sample_seed
from synthseg_core.system.signals import Interruption, deferred
from synthseg_core.training.averages import WeightAverage
from synthseg_core.training.budget import reserve_s
from synthseg_core.training.checkpoint import LAST, read_checkpoint
from synthseg_core.training.config import TrainConfig
from synthseg_core.training.parallel import Agreement, Ranks, environment_ranks, joined, passes
from synthseg_core.training.results import Results, explained_exhaustion, stop_on_failure
from synthseg_core.training.run import RunOptions, Task
from synthseg_core.training.samples import Ahead, Source
from synthseg_core.training.start import start_from
from synthseg_core.training.state import TrainingState, new_state, require_same, restore
from synthseg_core.training.step import NonFiniteError, StepResult, recompute_features, train_step
from synthseg_core.training.validation import Validate


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Parameters
    ----------
    step, seconds
        Spent by all runs of this training.
    best_score, best_step
        Of the best validation; ``None`` without one.
    finished
        Whether nothing is left to do: ``False`` if somebody asked to stop.
    """

    folder: Path
    step: int
    seconds: float
    best_score: float | None
    best_step: int | None
    finished: bool


def run_training(
    config: TrainConfig,
    source: Source,
    folder: Path,
    *,
    validate: Validate | None = None,
    data: Mapping[str, Any] | None = None,
    options: RunOptions | None = None,
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
    task = Task(config, source, Path(folder), validate, data or {}, options or RunOptions())
    began = time.monotonic() if task.options.began is None else task.options.began
    passes(config, environment_ranks(), 0)  # before the processes meet: a batch that they cannot share
    with joined(config.device) as ranks, deferred() as interruption, fixed_shapes():
        return _run(task, ranks, began, interruption)


def started(task: Task, ranks: Ranks) -> TrainingState:
    """Return the state of ``last.pt``, or a new one."""
    config = task.config
    state = new_state(config, choose_device(ranks.device(config.device)))
    if (task.folder / LAST).is_file():
        content = read_checkpoint(task.folder / LAST)
        require_same(task.folder / LAST, content, task.identity)
        restore(state, content)
    elif config.start_from is not None:
        start_from(state.net, Path(config.start_from))
        state.average = WeightAverage(state.net, config.ema_decay) if config.ema_decay else None
        _go_on_at(state, config)
    if config.gradient_checkpointing:
        recompute_features(state.net)
    return state


def _go_on_at(state: TrainingState, config: TrainConfig) -> None:
    """Count the steps that the first weights have behind them as done, for schedule, samples and average."""
    if config.start_step >= config.steps:
        raise UsageError(
            "start_step",
            found=f"{config.start_step} steps behind the weights, {config.steps} in all",
            expected="more steps in all, those before included",
            remedy="ask for more steps",
        )
    state.step = config.start_step
    if state.average is not None:
        state.average.updates = config.start_step


def _run(task: Task, ranks: Ranks, began: float, interruption: Interruption) -> Outcome:
    """Take steps until the end, and write what is due after each."""
    state = started(task, ranks)
    model = _called(ranks.wrapped(state.net), task.config)
    ahead = task.options.ahead if task.options.ahead is not None else state.device.type == "cuda"
    samples = Ahead(task.source, state.device) if ahead else None
    results = Results(task, state) if ranks.writes else None
    stop, last_step_s = False, 0.0
    while not stop and not state.finished(task.config):
        begin_step = time.monotonic()
        result, seed = _step(task, ranks, state, model, samples)
        now = time.monotonic()
        step_s = now - begin_step
        reserve = _reserve(
            task.config, min(step_s, last_step_s), results
        )  # a single slow step, as the first, is no rule
        mine = Agreement(result.loss, state.seconds + now - began, reserve, interruption.asked)
        agreed = ranks.agree(mine)
        state.seconds, state.reserve_s, stop, began = agreed.seconds, agreed.reserve_s, agreed.stop, now
        last_step_s = step_s
        if results is not None:
            results.after_step(replace(result, loss=agreed.loss), seed)
    if results is not None:
        results.close(save=stop)
    return Outcome(
        task.folder, state.step, state.seconds, state.best_score, state.best_step, state.finished(task.config)
    )


def _called(model: nn.Module, config: TrainConfig) -> nn.Module:
    """Return the network as it is called: compiled, if asked for."""
    return cast(nn.Module, torch.compile(model)) if config.compiled else model


def _step(
    task: Task, ranks: Ranks, state: TrainingState, model: nn.Module, ahead: Ahead | None
) -> tuple[StepResult, int]:
    """Take one step with the samples whose turn it is; return the seed of the first one too."""
    seeds = _seeds(task.config, ranks, state.step)
    source = task.source if ahead is None else ahead
    following = _seeds(task.config, ranks, state.step + 1)
    meanwhile = (lambda: None) if ahead is None else partial(ahead.prepare, following)
    try:
        with explained_exhaustion():
            return train_step(state, task.config, model, source, seeds, meanwhile), seeds[0][0]
    except NonFiniteError as failure:
        raise stop_on_failure(task.folder, state.step, failure, task.source) from failure


def _seeds(config: TrainConfig, ranks: Ranks, step: int) -> list[list[int]]:
    """Return the seeds of the samples of each forward pass of a step."""
    return [[sample_seed(config.seed, number) for number in some] for some in passes(config, ranks, step)]


def _reserve(config: TrainConfig, step_s: float, results: Results | None) -> float:
    """Return the seconds that the end of a training with a time budget needs."""
    if config.budget_s is None or results is None:
        return 0.0
    return reserve_s(config.budget_s, step_s, results.ending_s)
