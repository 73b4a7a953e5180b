"""Ranges that parameters are drawn from.

Seeds of numbered samples: any sample can be made alone, by any worker, in any order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from synthseg_core.errors import UsageError
from synthseg_core.system.settings import build_fields


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """Draw one number between two bounds; double precision, so that it survives a text file."""
    return low + (high - low) * float(torch.rand((), dtype=torch.float64, generator=generator))


def normal(mean: float, std: float, generator: torch.Generator) -> float:
    """Draw one number around a mean."""
    return mean + std * float(torch.randn((), dtype=torch.float64, generator=generator))


def chance(probability: float, generator: torch.Generator) -> bool:
    """Say yes with a probability."""
    return uniform(0, 1, generator) < probability


@dataclass(frozen=True)
class Range:
    """Uniform range, one for all axes or one per axis.

    Parameters
    ----------
    low, high
        Bounds: a number for all axes, or one number per axis.
    """

    low: float | tuple[float, ...]
    high: float | tuple[float, ...]

    @property
    def lowest(self) -> float:
        """The smallest number that it can give."""
        return min(self._per_axis(self.low, 3))

    def __post_init__(self) -> None:
        for low, high in zip(self._per_axis(self.low, 3), self._per_axis(self.high, 3), strict=True):
            if not -math.inf < low <= high < math.inf:
                raise UsageError(
                    "range",
                    found=f"{low} to {high}",
                    expected="numbers, low not above high",
                    remedy="correct the recipe",
                )

    @classmethod
    def from_content(cls, content: Any, subject: str) -> Range:
        """Read ``[low, high]``, where each is a number or a list of three, one per axis."""
        if isinstance(content, list | tuple) and len(content) == 2:
            content = dict(zip(("low", "high"), content, strict=True))
        elif not isinstance(content, dict):
            raise UsageError(
                subject,
                found=f"{content!r}",
                expected="[low, high]",
                remedy="write two bounds, equal ones for a constant",
            )
        return build_fields(cls, content, subject)

    def to_content(self) -> list[Any]:
        """Return ``[low, high]``."""
        return [list(map(float, one)) if isinstance(one, Sequence) else float(one) for one in (self.low, self.high)]

    @classmethod
    def around(cls, centre: float, half_width: float) -> Range:
        """Return the range ``centre`` ± ``half_width`` for all axes."""
        return cls(centre - half_width, centre + half_width)

    @classmethod
    def fixed(cls, value: float) -> Range:
        """Return a range that holds one value: the parameter is switched off."""
        return cls(value, value)

    def sample(self, count: int, generator: torch.Generator) -> tuple[float, ...]:
        """Draw ``count`` independent numbers; bounds per axis repeat."""
        bounds = zip(self._per_axis(self.low, count), self._per_axis(self.high, count), strict=True)
        return tuple(uniform(low, high, generator) for low, high in bounds)

    def _per_axis(self, bound: float | tuple[float, ...], count: int) -> list[float]:
        if not isinstance(bound, tuple):
            return [float(bound)] * count
        if len(bound) != 3:
            raise UsageError(
                "range",
                found=f"{len(bound)} bounds",
                expected="one, or three (left-right, posterior-anterior, inferior-superior)",
                remedy="correct the recipe",
            )
        repeats = count // 3
        return [float(value) for value in bound for _ in range(repeats)]


_SEED_BITS = 63  # torch generators take signed 64-bit seeds


def sample_seed(seed: int, index: int) -> int:
    """Return the seed of sample ``index`` of a run; neighbours in either argument give unrelated seeds."""
    return spread(seed, index)


def spread(*parts: int) -> int:
    """Hash whole numbers of 0 and above into one seed."""
    state = np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]
    return int(state) >> (64 - _SEED_BITS)


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a seeded source of random numbers on a device."""
    return torch.Generator(device).manual_seed(seed)
