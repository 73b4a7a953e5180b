"""Several processes that train one network, started by ``torchrun``; a single process is the special case.

Draws are numbered globally: which samples make up step k depends on neither the number of processes nor their speed.
Gradients are averaged over processes. Batch-norm statistics are those of each process's own samples, as they are of
each forward pass in a single process; the running ones are kept from process 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthseg_core.errors import UsageError
from synthseg_core.training.config import TrainConfig


@dataclass(frozen=True)
class Ranks:
    """Number of a process among all of a training."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files: only the first does."""
        return self.rank == 0


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
