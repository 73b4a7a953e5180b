"""What this machine has, and what all jobs of a run may use of it together."""

from __future__ import annotations

import os
from collections.abc import Sequence

from synthseg_core.system.memory import physical_bytes
from synthseg_core.system.words import counted


def available_cores() -> int:
    """Return how many CPU cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def machine_text(cores: int, resources: Sequence[str]) -> str:
    """Say what all jobs on this machine may use together, and where it does not have as much.

    Parameters
    ----------
    cores
        CPU cores.
    resources
        Amounts as Snakemake takes them, ``mem_mb=16000`` among them.
    """
    amounts = {name: amount for name, _, amount in (pair.partition("=") for pair in resources)}
    megabytes = int(amounts["mem_mb"])
    cores_there, megabytes_there = available_cores(), physical_bytes() // 10**6
    less = [counted(cores_there, "CPU core")] if cores > cores_there else []
    less += [memory_text(megabytes_there)] if megabytes > megabytes_there else []
    text = f"{counted(cores, 'CPU core')} and {memory_text(megabytes)} of memory for all jobs"
    return f"{text}, though this machine has {' and '.join(less)}" if less else text


def memory_text(megabytes: int) -> str:
    """Return an amount of memory as people write it."""
    return f"{megabytes} MB" if megabytes < 1000 else f"{round(megabytes / 1000, 1):g} GB"
