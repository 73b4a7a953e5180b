"""Learning-rate schedules: pure functions of the progress of a training, from 0 to 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synthseg_core.errors import UsageError

KINDS = ("constant", "cosine", "one_cycle")


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes over a training.

    Parameters
    ----------
    kind
        ``constant`` (as in the reference), ``cosine`` (falls from the peak to ``final``) or ``one_cycle`` (rises from a
        25th of the peak, falls to ``final``); the last two suit short trainings.
    warm_up
        Share of the training during which the rate rises to its peak. 0.3 is usual for ``one_cycle``.
    final
        Last learning rate as a share of the peak.
    """

    kind: str = "constant"
    warm_up: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError("schedule", found=self.kind, expected=" or ".join(KINDS), remedy="correct the name")
        for name, value, top in (("warm_up", self.warm_up, 0.99), ("final", self.final, 1.0)):
            if not 0 <= value <= top:
                raise UsageError(f"schedule {name}", found=f"{value:g}", expected=f"0 to {top:g}", remedy="correct it")

    def factor(self, progress: float) -> float:
        """Return the learning rate at ``progress`` (0 to 1) as a share of its peak."""
        if self.kind == "one_cycle":
            return one_cycle(progress, self.warm_up, self.final)
        rise = min(progress / self.warm_up, 1.0) if self.warm_up else 1.0
        if self.kind == "constant":
            return rise
        return rise if progress < self.warm_up else cosine(_after(progress, self.warm_up), self.final)


def cosine(progress: float, final: float = 0.0) -> float:
    """Return 1 at the start and ``final`` at the end, along half a cosine."""
    return final + (1 - final) * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0))) / 2


def one_cycle(progress: float, rise: float = 0.3, final: float = 0.0, start: float = 0.04) -> float:
    """Return ``start`` at the start, 1 at ``rise`` and ``final`` at the end, along two half cosines.

    References
    ----------
    Smith and Topin, Super-convergence, 2018; the first rate is a 25th of the peak, as is usual.
    """
    if progress < rise:
        return 1 + start - cosine(progress / rise, start)
    return cosine(_after(progress, rise), final)


def _after(progress: float, warm_up: float) -> float:
    return (progress - warm_up) / (1 - warm_up)
