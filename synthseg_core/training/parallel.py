"""Several processes that train one network, started by ``torchrun``; a single process is the special case.

Draws are numbered globally: which samples make up step k depends on neither the number of processes nor their speed.
Gradients are averaged over processes. Batch-norm statistics are those of each process's own samples, as they are of
each forward pass in a single process; the running ones are kept from process 0. Process 0 alone writes files, the
others at most what they know of a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from synthseg_core.errors import UsageError
from synthseg_core.training.config import TrainConfig

# The others wait while process 0 validates.
_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class Agreement:
    """What all processes must see alike after a step: loss, seconds spent and to be kept, and whether to stop."""

    loss: float
    seconds: float
    reserve_s: float
    stop: bool


@dataclass(frozen=True)
class Ranks:
    """Number of a process among all of a training.

    Parameters
    ----------
    rank, size
        Number of this process, and of processes.
    local_rank
        Number on this machine: the GPU to take.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def writes(self) -> bool:
        """Whether this process writes files: only the first does."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """Return the device of this process, one GPU each where no number is given."""
        several = self.size > 1 and (name == "cuda" or (name == "auto" and torch.cuda.is_available()))
        return f"cuda:{self.local_rank}" if several else name

    def wrapped(self, net: nn.Module) -> nn.Module:
        """Return what to call instead of ``net``, so that gradients are averaged over processes."""
        return DistributedDataParallel(net) if self.size > 1 else net

    def agree(self, mine: Agreement) -> Agreement:
        """Return the mean loss, the times of process 0, and whether any process wants to stop."""
        if self.size == 1:
            return mine
        times = (mine.seconds, mine.reserve_s) if self.writes else (0.0, 0.0)
        values = torch.tensor([mine.loss / self.size, *times, float(mine.stop)], dtype=torch.float64)
        values = values.cuda(self.local_rank) if distributed.get_backend() == "nccl" else values
        distributed.all_reduce(values)
        loss, seconds, reserve_s, stops = values.tolist()
        return Agreement(loss, seconds, reserve_s, stops > 0)


def environment_ranks() -> Ranks:
    """Return the number that ``torchrun`` gave this process; alone without it."""
    rank, size, local = (
        int(os.environ.get(name, n)) for name, n in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    return Ranks(rank, size, local) if size > 1 and distributed.is_available() else Ranks()


@contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, and leave them in the end; alone without it."""
    ranks = environment_ranks()
    if ranks.size == 1:
        yield ranks
        return
    on_gpu = torch.cuda.is_available() and not device.startswith("cpu")
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    if on_gpu:
        torch.cuda.set_device(ranks.local_rank)
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()


def passes(config: TrainConfig, ranks: Ranks, step: int) -> list[list[int]]:
    """Return the sample numbers of each forward pass of this process in a step.

    Step k is made of samples k*B to k*B+B-1, B being the batch size; they are dealt out to the processes in runs of
    one micro batch.

    Raises
    ------
    UsageError
        If the batch cannot be shared equally.
    """
    micro = config.micro_batch or max(config.batch_size // ranks.size, 1)
    if config.batch_size % (micro * ranks.size):
        raise UsageError(
            "batch_size",
            found=f"{config.batch_size} samples for {ranks.size} processes with {micro} at a time",
            expected=f"a multiple of {micro * ranks.size}",
            remedy="change the batch size or the number of processes",
        )
    first = step * config.batch_size
    starts = range(first + ranks.rank * micro, first + config.batch_size, micro * ranks.size)
    return [list(range(start, start + micro)) for start in starts]
