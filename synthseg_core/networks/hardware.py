"""The machine that a training runs on, in a line."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def hardware_text(device: torch.device, processes: int = 1) -> str:
    """Return what computes, for model cards."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    elif device.type == "cpu":
        name = f"{torch.get_num_threads()} threads of {_processor()}"
    else:
        name = f"{device.type} on {platform.machine()}"
    return f"{processes} x {name}" if processes > 1 else name


def _processor() -> str:
    """Return the processor's name where the system tells it, or else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else platform.processor() or platform.machine()
