"""What a training leaves in its folder: checkpoints, the best weights, logs, and a picture.

What is kept of a sample whose loss is no number: its seed and its draw, so that it can be made again.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from synthseg_core.errors import InputError, TrainingError
from synthseg_core.images.figures import require_matplotlib
from synthseg_core.networks.building import Network, network_of
from synthseg_core.system.atomic import write_json
from synthseg_core.system.paths import is_file
from synthseg_core.system.settings import read_mapping
from synthseg_core.training.budget import affordable
from synthseg_core.training.checkpoint import BEST, CONFIG, LAST, write_checkpoint
from synthseg_core.training.config import TrainConfig
from synthseg_core.training.recorder import Recorder
from synthseg_core.training.run import Picture, Run
from synthseg_core.training.snapshot import INSTEAD, SUBJECT
from synthseg_core.training.state import TrainingState, snapshot_of
from synthseg_core.training.step import NonFiniteError, StepResult, forward
from synthseg_core.training.validation import Validate, is_better, score_of


def stored_config(folder: Path) -> TrainConfig | None:
    """Return the configuration of the training in a folder; ``None`` if there is none."""
    path, expected, remedy = folder / CONFIG, "what 'synthseg train' wrote", "train in another folder"
    if not is_file(path):
        return None
    content = read_mapping(path, "configuration of a training", remedy)
    try:
        return TrainConfig.from_json(content["training"])
    except (ValueError, KeyError, TypeError) as error:
        found = f"no configuration of a training ({error})"
        raise InputError(path, found=found, expected=expected, remedy=remedy) from error


class Results:
    """Writes what is due after a step; only one process of a training has it.

    Parameters
    ----------
    state
        Where the training begins or goes on.
    """

    def __init__(self, run: Run, state: TrainingState) -> None:
        if run.options.snapshot is not None:
            require_matplotlib(SUBJECT, INSTEAD)
        self.run = run
        self.config = run.config
        self.state = state
        self.checkpoint_s = 0.0
        write_json(run.folder / CONFIG, {"training": run.config.to_json(), "data": dict(run.data)})
        self.recorder = Recorder(run.config, run.folder, state, tensorboard=run.options.tensorboard)

    def after_step(self, result: StepResult, seed: int) -> None:
        """Write the log, validate, draw (the sample of ``seed``) and save, as far as it is their turn."""
        intervals = self.config.intervals
        self.recorder.step(self.state, result, row=self._due(intervals.log))
        if self.run.validate is not None and self._validation_due(intervals.validate):
            self._validate(self.run.validate)
        if self.run.options.snapshot is not None and intervals.snapshot and self._due(intervals.snapshot):
            self._draw(seed, self.run.options.snapshot)
        if self._due(intervals.checkpoint):
            self.save()

    def save(self) -> None:
        """Write ``last.pt``."""
        began = time.monotonic()
        write_checkpoint(self.run.folder / LAST, snapshot_of(self.state, self.run.identity))
        self.checkpoint_s = time.monotonic() - began

    def close(self, *, save: bool) -> None:
        """End the logs; ``save`` writes ``last.pt`` once more, for a training that was asked to stop."""
        if save:
            self.save()
        self.recorder.close()

    @property
    def ending_s(self) -> float:
        """Seconds that the last validation and checkpoint will take, as far as known."""
        return self.checkpoint_s + (self.state.validation_s if self.run.validate is not None else 0.0)

    def _due(self, interval: int) -> bool:
        """Whether something that happens every ``interval`` steps, and at the end, happens now."""
        return self.state.finished(self.config) or (interval > 0 and self.state.step % interval == 0)

    def _validation_due(self, interval: int) -> bool:
        """Say whether to validate now; under a budget step 1 shows the cost, and a tenth of the time is the most."""
        state = self.state
        if self.config.budget_s is None or state.finished(self.config):
            return self._due(interval)
        if state.step == 1:
            return True
        return self._due(interval) and affordable(state.seconds, state.validating_s, state.validation_s)

    def _validate(self, validate: Validate) -> None:
        """Score the average weights; keep them if they are the best so far."""
        began = time.monotonic()
        net = self._net_of_average()
        table = validate(net)
        score, state = score_of(table), self.state
        self.recorder.validation(state.step, score, table)
        if is_better(score, state.best_score):
            state.best_score, state.best_step = score, state.step
            content = {"network": net.state_dict(), "config": self.config.to_json()["network"]}
            write_checkpoint(self.run.folder / BEST, {**content, "step": state.step, "score": score})
        state.validation_s = time.monotonic() - began
        state.validating_s += state.validation_s

    @torch.inference_mode()
    def _draw(self, seed: int, picture: Picture) -> None:
        images, target = self.run.source.batch([seed])
        output = forward(self._net_of_average(), images, self.state.device, self.config.precision)
        picture(self.run.folder, images, target, output, self.run.options.measure)

    def _net_of_average(self) -> Network:
        net = network_of(self.config.network)
        net.load_state_dict(self.state.weights())
        return net.to(self.state.device, memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]


FAILURE = "failure"


def stop_on_failure(folder: Path, step: int, failure: NonFiniteError, source: object) -> TrainingError:
    """Write seeds and draws to ``folder/failure`` and return the error that ends the training."""
    path = folder / FAILURE / f"step-{step:07d}-seed-{failure.seeds[0]}.json"
    draws = [{"seed": seed, "draw": _draw_of(source, seed)} for seed in failure.seeds]
    write_json(path, {"step": step, "found": str(failure), "samples": draws})
    return TrainingError(
        folder,
        found=f"{failure} at step {step + 1}",
        expected="a finite number",
        remedy=f"look at the samples in {path}; a lower learning rate or float32 often helps; last.pt is from before",
    )


def _draw_of(source: object, seed: int) -> Any:
    """Return the random choices behind a sample as JSON; ``None`` for sources that do not record them."""
    draw = getattr(source, "draw", None)
    if draw is None:
        return None
    content = draw(seed).to_json()
    return json.loads(content) if isinstance(content, str) else content
