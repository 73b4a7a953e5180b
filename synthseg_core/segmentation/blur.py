"""The small Gaussian that SynthSeg applies to posteriors: 3x3x3, sigma in voxels, zero padding, not renormalised."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

RowConsumer = Callable[[int, int, Tensor], None]
"""Receives ``start, stop, rows``: rows [start, stop) along axis I of a (N, stop - start, J, K) tensor."""


def taps(sigma_voxels: float) -> tuple[float, float]:
    """Return centre and side weight of the 3-tap Gaussian, which sums to one; its outer product is the 3-D kernel."""
    side = math.exp(-1 / (2 * sigma_voxels**2))
    return 1 / (1 + 2 * side), side / (1 + 2 * side)


class RowBlur:
    """Blurs a volume that arrives in consecutive slabs of rows and passes it on, one row late.

    Sums are formed so that mirroring the volume mirrors the result bit for bit.

    Parameters
    ----------
    sigma_voxels
        Width of the Gaussian.
    total
        Number of rows of the whole volume.
    consume
        Receives the blurred rows; they may overwrite the source of rows already passed on.
    """

    def __init__(self, sigma_voxels: float, total: int, consume: RowConsumer) -> None:
        self._centre, self._side = taps(sigma_voxels)
        self._total = total
        self._consume = consume
        self._held: Tensor | None = None

    def __call__(self, _start: int, stop: int, rows: Tensor) -> None:
        """Take the rows up to ``stop`` that follow those already taken."""
        flat = self._blur_axis(self._blur_axis(rows, 2), 3)
        zero = torch.zeros_like(flat[:, :1])
        held = zero if self._held is None else self._held  # row -1, or the last two rows so far
        last = [zero] if stop == self._total else []
        known = torch.cat([held, flat, *last], dim=1)
        self._held = known[:, -2:].clone()
        if known.shape[1] > 2:
            first = stop - flat.shape[1] - held.shape[1] + 1
            blurred = (known[:, :-2] + known[:, 2:]).mul_(self._side).add_(known[:, 1:-1], alpha=self._centre)
            self._consume(first, first + blurred.shape[1], blurred)

    def _blur_axis(self, x: Tensor, axis: int) -> Tensor:
        n = x.shape[axis]
        result = torch.zeros_like(x)
        result.narrow(axis, 1, n - 1).add_(x.narrow(axis, 0, n - 1))
        result.narrow(axis, 0, n - 1).add_(x.narrow(axis, 1, n - 1))
        return result.mul_(self._side).add_(x, alpha=self._centre)


def blur_in_place(volume: Tensor, sigma_voxels: float, rows: int = 16) -> None:
    """Blur (N, I, J, K) in place, a few rows at a time."""

    def write(start: int, stop: int, blurred: Tensor) -> None:
        volume[:, start:stop] = blurred

    blur = RowBlur(sigma_voxels, volume.shape[1], write)
    for start in range(0, volume.shape[1], rows):
        stop = min(start + rows, volume.shape[1])
        blur(start, stop, volume[:, start:stop])
