"""Leave out slices that repeat: what lies around a head is the same slice over and over, for every level of a network.

Along an axis, a run of identical slices gives identical outputs except within reach of its ends. So an even number of
slices in the middle of a run can be dropped before a level, and its pooled output repeated as often afterwards: the
result is the same, bit for bit, and the work is less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Run:
    """Identical slices [start, stop) of an axis."""

    start: int
    stop: int

    def dropped(self, reach: int) -> tuple[int, int]:
        """Return the slices [first, last) that a level with convolutions of this total reach can do without.

        Both ends are even, so that pooling by two stays aligned; at least one pair of untouched slices is kept.
        """
        first = self.start + reach + (self.start + reach) % 2
        count = max(self.stop - reach - first - 2, 0)
        return first, first + count - count % 2

    def pooled(self, reach: int) -> Run:
        """Return the run that is left after the level and pooling by two; it may be empty."""
        return Run(-(-(self.start + reach) // 2), (self.stop - reach) // 2)


@dataclass(frozen=True)
class AxisPlan:
    """What to read of one axis, and how to repeat the pooled output.

    Parameters
    ----------
    kept
        Slices of the level's input.
    repeated
        For each slice of the pooled output, its place among the slices that were computed.
    """

    kept: Tensor
    repeated: Tensor

    @classmethod
    def of(cls, length: int, runs: Sequence[Run], reach: int) -> AxisPlan:
        """Plan a level over an axis of even ``length``."""
        drops = [run.dropped(reach) for run in runs]
        kept = _without(length, drops)
        pooled = _without(length // 2, [(first // 2, last // 2) for first, last in drops])
        return cls(kept, torch.searchsorted(pooled, torch.arange(length // 2)))


def background_runs(groups: Tensor, axis: int) -> tuple[Run, ...]:
    """Return the runs of empty slices at both ends of a map (I, J, K)."""
    others = [other for other in range(3) if other != axis]
    filled = torch.nonzero((groups != 0).any(dim=others[1]).any(dim=others[0]))
    length = groups.shape[axis]
    if len(filled) == 0:
        return (Run(0, length),)
    return Run(0, int(filled[0])), Run(int(filled[-1]) + 1, length)


def select(x: Tensor, indices: Sequence[Tensor]) -> Tensor:
    """Take slices along the last three axes."""
    for axis, index in zip((-3, -2, -1), indices, strict=True):
        if len(index) != x.shape[axis] or not torch.equal(index, torch.arange(len(index))):
            x = x.index_select(x.ndim + axis, index.to(x.device))
    return x


def _without(length: int, drops: Sequence[tuple[int, int]]) -> Tensor:
    keep = torch.ones(length, dtype=torch.bool)
    for first, last in drops:
        keep[first:last] = False
    return torch.nonzero(keep)[:, 0]
