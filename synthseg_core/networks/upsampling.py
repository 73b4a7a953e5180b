"""Convolution after nearest-neighbour upsampling, computed at the coarse resolution.

Doubling a volume by repetition and convolving it with a k^3 kernel reads every coarse voxel several times. Summing the
kernel taps that meet the same coarse voxel gives eight small kernels, one for each parity of the fine position, that
read the coarse volume directly: the same function with (k+1)/2 instead of k taps an axis. For k = 3 this saves 70 % of
the multiplications, and the upsampled volume never exists.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from synthseg_core.networks.slabs import conv3d

PARITIES = tuple(itertools.product((0, 1), repeat=3))


@dataclass(frozen=True)
class MergedKernel:
    """Kernel at the coarse resolution.

    Parameters
    ----------
    weight : (8 * O, C, w, w, w)
        Taps for each parity of the fine position, blocks in the order of :data:`PARITIES`.
    before
        Coarse voxels that the window of parity 0 reaches below its own position.
    shift
        How much further the window of parity 1 starts than that of parity 0.
    """

    weight: Tensor
    before: int
    shift: int


def merge_kernel(weight: Tensor) -> MergedKernel:
    """Sum the taps of a kernel (O, C, k, k, k), k odd, that meet the same coarse voxel."""
    radius = weight.shape[-1] // 2
    merged = weight.cpu().double()  # MPS has no float64
    for axis in range(3):
        merged = torch.stack([_merge_axis(merged, 2 + axis + axis, parity, radius) for parity in (0, 1)], dim=2 + axis)
    # (O, C, a, b, c, w, w, w) -> (a, b, c, O, C, w, w, w)
    merged = merged.permute(2, 3, 4, 0, 1, 5, 6, 7).flatten(0, 3)
    return MergedKernel(merged.to(weight).contiguous(), -((-radius) // 2), (radius % 2))


def _merge_axis(weight: Tensor, axis: int, parity: int, radius: int) -> Tensor:
    first = (parity - radius) // 2
    shape = list(weight.shape)
    shape[axis] = radius + 1
    merged = weight.new_zeros(shape)
    for tap in range(2 * radius + 1):
        coarse = (parity + tap - radius) // 2 - first
        merged.select(axis, coarse).add_(weight.select(axis, tap))
    return merged


def add_upsampled_convolution(fine: Tensor, coarse: Tensor, kernel: MergedKernel) -> None:
    """Add the convolution of the upsampled ``coarse`` volume to ``fine``, in place.

    Parameters
    ----------
    fine : (1, O, 2R, J, K)
        Receives the sum.
    coarse : (1, C, R + margin, J/2, K/2)
        Rows with the margin of the window on both sides of axis I (``before`` below, ``width - 1 - before + shift``
        above); the other axes are padded with zeros here.
    kernel
        The kernel of the fine resolution, merged for the coarse one.
    """
    width = kernel.weight.shape[-1]
    after = width - 1 - kernel.before + kernel.shift
    pad = (kernel.before, after)
    windows = conv3d(functional.pad(coarse, (*pad, *pad)), kernel.weight, None)
    channels = fine.shape[1]
    rows, columns, slices = (n // 2 for n in fine.shape[2:])
    for block, (a, b, c) in enumerate(PARITIES):
        i, j, k = a * kernel.shift, b * kernel.shift, c * kernel.shift
        part = windows[:, block * channels : (block + 1) * channels]
        fine[:, :, a::2, b::2, c::2] += part[:, :, i : i + rows, j : j + columns, k : k + slices]
