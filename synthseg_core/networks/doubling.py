"""Nearest-neighbour doubling of maps beside a skip, with a gradient that is quick on a CPU.

Measured in bfloat16 with a skip of 16 channels of 96 x 112 x 96 voxels and 32 channels of half as many, channels last:
350 ms of processor time forward and back with torch's interpolation and concatenation, 170 ms here, to the bit.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

_LAST = torch.channels_last_3d


def doubled_beside(skip: Tensor | None, x: Tensor) -> Tensor:
    """Return maps with twice the voxels along each axis by repetition, after those of a skip.

    Parameters
    ----------
    skip : (B, S, 2 I, 2 J, 2 K)
        Maps that come first; ``None``: none.
    x : (B, C, I, J, K)
        Maps that are doubled.

    Returns
    -------
    (B, S + C, 2 I, 2 J, 2 K)
    """
    if skip is not None and _is_quick(skip, x):
        return _DoubledBeside.apply(skip, x)
    doubled = functional.interpolate(x, scale_factor=2, mode="nearest")
    return doubled if skip is None else torch.cat([skip, doubled], dim=1)


def _is_quick(skip: Tensor, x: Tensor) -> bool:
    """Say whether gradients are wanted on a CPU, of maps that lie as this module reads them."""
    return (
        x.device.type == "cpu"
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and skip.dtype == x.dtype
        and skip.is_contiguous(memory_format=_LAST)
        and x.is_contiguous(memory_format=_LAST)
    )


class _DoubledBeside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, skip: Tensor, x: Tensor) -> Tensor:
        samples, ctx.first = skip.shape[:2]
        shape = samples, ctx.first + x.shape[1], *skip.shape[2:]
        out = torch.empty(shape, dtype=x.dtype, memory_format=_LAST)
        out[:, : ctx.first] = skip
        for corner in _corners(out[:, ctx.first :]):
            corner.copy_(x)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        of_skip = of_x = None
        if ctx.needs_input_grad[0]:
            of_skip = gradient[:, : ctx.first].contiguous(memory_format=_LAST)
        if ctx.needs_input_grad[1]:
            first, *others = _corners(gradient[:, ctx.first :])
            of_x = first.float() if first.dtype.itemsize < 4 else first.clone()
            for corner in others:
                of_x += corner
            of_x = of_x.to(gradient.dtype)
        return of_skip, of_x


def _corners(maps: Tensor) -> list[Tensor]:
    """Return the eight views of every second voxel."""
    return [maps[:, :, i::2, j::2, k::2] for i, j, k in itertools.product((0, 1), repeat=3)]
