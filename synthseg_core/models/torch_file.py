"""Checkpoints of torch, which are Python pickles: opened by its restricted reader, so that nothing in them can run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthseg_core.networks.arrays import Arrays, array_shapes
from synthseg_core.networks.config import NetworkConfig

# What wrappers put before the names of a network: several GPUs, and compilation.
_WRAPPERS = ("module.", "_orig_mod.")


class RefusedCheckpointError(Exception):
    """A file that the restricted reader does not open; its text says why, in a phrase."""


def open_checkpoint(path: Path, harmless: Sequence[Any] = ()) -> Any:
    """Return what a checkpoint holds; its tensors stay on the disk until they are used.

    Parameters
    ----------
    path
        Written by ``torch.save``.
    harmless
        Names that may stand in it beside tensors and plain values.

    Raises
    ------
    RefusedCheckpointError
        If it is damaged, or holds anything else.
    """
    try:
        with torch.serialization.safe_globals(list(harmless)):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise RefusedCheckpointError(f"a checkpoint that is refused ({_reason(str(error))})") from error
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise RefusedCheckpointError(f"a checkpoint that cannot be opened ({str(error).splitlines()[0]})") from error


def _reason(text: str) -> str:
    """Return what torch's message says beside advice: which name is refused, or what cannot be unpickled."""
    said = text.partition("WeightsUnpickler error: ")[2].partition("\n")[0]
    named = next((line for line in text.splitlines() if "GLOBAL" in line), "not only numbers")
    return (said or named).rstrip(".")


def unwrapped(name: str) -> str:
    """Return the name of an array without those of wrappers around the network."""
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def read_torch(path: Path, config: NetworkConfig) -> tuple[Arrays, list[str]]:
    """Return the arrays of the only network of a state dict, and what is wrong with them.

    Parameters
    ----------
    path
        A checkpoint that holds nothing but the arrays of one network.
    config
        Its shape.
    """
    try:
        content = open_checkpoint(path)
    except RefusedCheckpointError as error:
        return {}, [str(error)]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        return {}, ["a checkpoint that holds more than the arrays of one network"]
    stored = {unwrapped(str(name)): value for name, value in content.items()}
    shapes = array_shapes(config)
    faults = [f"no array {name}" for name in shapes if name not in stored]
    faults += [f"an unknown array {name}" for name in stored if name not in shapes]
    fitting = [name for name in shapes if name in stored and tuple(stored[name].shape) == shapes[name]]
    faults += [
        f"{name} of shape {tuple(stored[name].shape)} instead of {shapes[name]}"
        for name in shapes
        if name in stored and name not in fitting
    ]
    return {name: np.array(stored[name].float().numpy()) for name in fitting}, faults
