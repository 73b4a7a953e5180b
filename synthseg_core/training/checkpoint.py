"""One file with everything that an exact resume needs, written whole or not at all, read without running code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from synthseg_core.errors import WeightsError
from synthseg_core.system.atomic import write_bytes

LAST = "last.pt"
BEST = "best.pt"
CONFIG = "config.json"


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors, numbers, text, lists and dictionaries atomically; ``OutputError`` if the disk does not take it."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    write_bytes(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what ``write_checkpoint`` stored, on the CPU.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, or holds anything but data.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise WeightsError(
            path,
            found=f"no readable checkpoint ({str(error).splitlines()[0] if str(error) else type(error).__name__})",
            expected="a file written by 'synthseg train'",
            remedy="use another checkpoint, or remove the file to begin anew",
        ) from error
    if not isinstance(content, dict):
        raise WeightsError(
            path,
            found=f"a {type(content).__name__}",
            expected="a checkpoint of 'synthseg train'",
            remedy="use another checkpoint",
        )
    return content


def random_states(device: torch.device) -> dict[str, Any]:
    """Return the state of torch's global generators; our draws do not use them, a network with dropout would."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: Mapping[str, Any], device: torch.device) -> None:
    """Set torch's global generators as they were."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
