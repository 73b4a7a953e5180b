"""What is kept of a sample whose loss is no number: its seed and its draw, so that it can be made again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from synthseg_core.errors import InputError, TrainingError
from synthseg_core.networks.devices import CPU_ALLOCATOR
from synthseg_core.system.atomic import write_json
from synthseg_core.training.step import NonFiniteError

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


@contextmanager
def explained_exhaustion() -> Iterator[None]:
    """Turn an allocation that failed, on a GPU or in the machine's memory, into an error that says what helps."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        on_cpu = isinstance(error, MemoryError) or CPU_ALLOCATOR in str(error)
        if not (on_cpu or isinstance(error, torch.OutOfMemoryError)):
            raise
        raise InputError(
            "training",
            found=f"too little memory{'' if on_cpu else ' on the GPU'} for a step",
            expected="room for the features of the whole sample",
            remedy="use --gradient-checkpointing, a smaller --crop (patches), or a smaller network",
        ) from error


def _draw_of(source: object, seed: int) -> Any:
    """Return the random choices behind a sample as JSON; ``None`` for sources that do not record them."""
    draw = getattr(source, "draw", None)
    if draw is None:
        return None
    content = draw(seed).to_json()
    return json.loads(content) if isinstance(content, str) else content
