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

    Sums are formed so that mirroring the volume mirrors the result bit for bit. On the CPU each channel of a slab is
    done with before the next is begun, so that all steps but the first and the last meet it in the processor's cache.

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
        self._held: Tensor | None = None  # the last two rows so far, blurred along the other axes

    def __call__(self, _start: int, stop: int, rows: Tensor) -> None:
        """Take the rows up to ``stop`` that follow those already taken."""
        channels, count, *plane = rows.shape
        before = 1 if self._held is None else 2  # row -1, or the rows held
        known = before + count + (stop == self._total)
        first = stop - count - before + 1
        held, blurred = rows.new_empty((channels, 2, *plane)), rows.new_empty((channels, known - 2, *plane))
        each = 1 if rows.device.type == "cpu" else channels
        for start in range(0, channels, each):
            some = slice(start, start + each)
            window = rows.new_zeros((len(rows[some]), known, *plane))
            if self._held is not None:
                window[:, :2] = self._held[some]
            window[:, before : before + count] = self._blur_axis(self._blur_axis(rows[some], 2), 3)
            held[some] = window[:, -2:]
            if known > 2:
                self._blur(window[:, :-2], window[:, 1:-1], window[:, 2:], blurred[some])
        self._held = held
        if known > 2:
            self._consume(first, first + known - 2, blurred)

    def _blur_axis(self, x: Tensor, axis: int) -> Tensor:
        n = x.shape[axis]
        result = torch.zeros_like(x)
        if n > 1:
            result.select(axis, 0).copy_(x.select(axis, 1))
            result.select(axis, n - 1).copy_(x.select(axis, n - 2))
            torch.add(x.narrow(axis, 0, n - 2), x.narrow(axis, 2, n - 2), out=result.narrow(axis, 1, n - 2))
        return result.mul_(self._side).add_(x, alpha=self._centre)

    def _blur(self, below: Tensor, middle: Tensor, above: Tensor, out: Tensor) -> None:
        torch.add(below, above, out=out).mul_(self._side).add_(middle, alpha=self._centre)


def blur_in_place(volume: Tensor, sigma_voxels: float, rows: int = 8) -> None:
    """Blur (N, I, J, K) in place, a few rows at a time."""

    def write(start: int, stop: int, blurred: Tensor) -> None:
        volume[:, start:stop] = blurred

    blur = RowBlur(sigma_voxels, volume.shape[1], write)
    for start in range(0, volume.shape[1], rows):
        stop = min(start + rows, volume.shape[1])
        blur(start, stop, volume[:, start:stop])
