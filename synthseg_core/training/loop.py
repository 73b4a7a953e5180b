"""The training of a network on samples made as it goes, in a folder that holds all of its results.

The folder: ``config.json``, ``last.pt`` (an exact resume), ``best.pt`` (weights with the best validation), ``log.tsv``,
``validation.tsv``, ``snapshot.png``, and ``failure/`` if a loss was no number. A training that finds ``last.pt`` goes
on from it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from synthseg_core.errors import UsageError
from synthseg_core.networks.devices import choose_device, explained_exhaustion
from synthseg_core.networks.precision import fixed_shapes
from synthseg_core.synth.randomness import sample_seed
from synthseg_core.system.signals import Interruption, deferred
from synthseg_core.training.averages import WeightAverage
from synthseg_core.training.budget import reserve_s
from synthseg_core.training.checkpoint import LAST, read_checkpoint
from synthseg_core.training.config import TrainConfig
from synthseg_core.training.parallel import Agreement, Ranks, environment_ranks, joined, passes
from synthseg_core.training.results import Results, stop_on_failure
from synthseg_core.training.run import Run, RunOptions
from synthseg_core.training.samples import Ahead, Source
from synthseg_core.training.start import start_from
from synthseg_core.training.state import TrainingState, new_state, require_same, restore
from synthseg_core.training.step import NonFiniteError, StepResult, recompute_features, train_step
from synthseg_core.training.validation import Validate

# What is said where memory runs out.
_MEMORY = {
    "purpose": "a step",
    "expected": "room for the features of the whole sample",
    "remedy": "use --gradient-checkpointing, a smaller --crop (patches), or a smaller network",
}


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
    config
        The whole training.
    source
        Makes the samples of given seeds.
    folder
        Of this training alone.
    validate
        Scores weights on other samples; ``None``: no ``best.pt``.
    data
        What the samples are made of, as JSON; a resume with other data is refused.
    options
        Device, precision, processes and what is shown; ``None``: the defaults.

    Raises
    ------
    UsageError
        If ``last.pt`` belongs to another training.
    TrainingError
        If a loss is not finite: seeds and draws are in ``folder/failure``.
    """
    run = Run(config, source, Path(folder), validate, data or {}, options or RunOptions())
    began = time.monotonic() if run.options.began is None else run.options.began
    passes(config, environment_ranks(), 0)  # before the processes meet: a batch that they cannot share
    with joined(config.device) as ranks, deferred() as interruption, fixed_shapes():
        return _run(run, ranks, began, interruption)


def started(run: Run, ranks: Ranks) -> TrainingState:
    """Return the state of ``last.pt``, or a new one."""
    config = run.config
    state = new_state(config, choose_device(ranks.device(config.device)))
    if (run.folder / LAST).is_file():
        content = read_checkpoint(run.folder / LAST)
        require_same(run.folder / LAST, content, run.identity)
        restore(state, content)
    elif config.start_from is not None:
        start_from(state.net, Path(config.start_from), run.options.table)
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


def _run(run: Run, ranks: Ranks, began: float, interruption: Interruption) -> Outcome:
    """Take steps until the end, and write what is due after each."""
    state = started(run, ranks)
    model = _called(ranks.wrapped(state.net), run.config)
    results = Results(run, state) if ranks.writes else None
    stop, last_step_s = False, 0.0
    with _made_ahead(run, state.device) as samples:
        while not stop and not state.finished(run.config):
            begin_step = time.monotonic()
            result, seed = _step(run, ranks, state, model, samples)
            now = time.monotonic()
            step_s = now - begin_step
            # A single slow step, as the first, is no rule.
            reserve = _reserve(run.config, min(step_s, last_step_s), results)
            mine = Agreement(result.loss, state.seconds + now - began, reserve, interruption.asked)
            agreed = ranks.agree(mine)
            state.seconds, state.reserve_s, stop, began = agreed.seconds, agreed.reserve_s, agreed.stop, now
            last_step_s = step_s
            if results is not None:
                results.after_step(replace(result, loss=agreed.loss), seed)
    if results is not None:
        results.close(save=stop)
    return Outcome(run.folder, state.step, state.seconds, state.best_score, state.best_step, state.finished(run.config))


@contextmanager
def _made_ahead(run: Run, device: torch.device) -> Iterator[Ahead | None]:
    """Give what makes samples ahead, where that is wanted."""
    if not (device.type == "cuda" if run.options.ahead is None else run.options.ahead):
        yield None
        return
    with closing(Ahead(run.source, device)) as ahead:
        yield ahead


def _called(model: nn.Module, config: TrainConfig) -> nn.Module:
    """Return the network as it is called: compiled, if asked for."""
    return cast(nn.Module, torch.compile(model)) if config.compiled else model


def _step(
    run: Run, ranks: Ranks, state: TrainingState, model: nn.Module, ahead: Ahead | None
) -> tuple[StepResult, int]:
    """Take one step with the samples whose turn it is; return the seed of the first one too."""
    seeds = _seeds(run.config, ranks, state.step)
    source = run.source if ahead is None else ahead
    following = _seeds(run.config, ranks, state.step + 1) if state.step + 1 < run.config.steps else []
    if ahead is not None and ahead.beside:
        ahead.prepare([*seeds, *following])
    meanwhile = (lambda: None) if ahead is None or ahead.beside else partial(ahead.prepare, following)
    try:
        with explained_exhaustion("training", **_MEMORY):
            return train_step(state, run.config, model, source, seeds, meanwhile), seeds[0][0]
    except NonFiniteError as failure:
        raise stop_on_failure(run.folder, state.step, failure, run.source) from failure


def _seeds(config: TrainConfig, ranks: Ranks, step: int) -> list[list[int]]:
    """Return the seeds of the samples of each forward pass of a step."""
    return [[sample_seed(config.seed, number) for number in some] for some in passes(config, ranks, step)]


def _reserve(config: TrainConfig, step_s: float, results: Results | None) -> float:
    """Return the seconds that the end of a training with a time budget needs."""
    if config.budget_s is None or results is None:
        return 0.0
    return reserve_s(config.budget_s, step_s, results.ending_s)
