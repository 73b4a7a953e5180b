"""Pieces that slab-wise inference shares: rows with zero padding, slab heights, batch norm with running statistics.

One door to 3-D convolution for inference, past a size heuristic that picks a slow kernel for small slabs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.unet import SLOPE

Consumer = Callable[[int, int, Tensor], None]
"""Receives ``start, stop, rows``: rows [start, stop) of (N, stop - start, J, K) logits or posteriors."""

# Bytes of the temporaries of one slab: four rows of the finest level of a grid of 192 x 256 x 192. Measured there,
# a pass takes 16.7 s with 120 MiB, 18.2 s with 400 (memory fresh from the system costs more than it saves) and 19.5 s
# with 60 (two rows, too many small kernels).
SLAB_BYTES = 120 * 2**20
_STATISTIC_VOXELS = 4096


def prepared(net: nn.Module) -> None:
    """Put a network into evaluation mode, its kernels in the memory order that convolutions are fastest with."""
    net.eval().requires_grad_(False)
    for parameter in net.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)


def slab_rows(channels: int, shape: Sequence[int], slab_bytes: int = SLAB_BYTES) -> int:
    """Return how many rows of a map (channels, I, J, K) fit in a slab; even, so that pooling stays aligned."""
    # About six maps of the block's width live at a time: inputs, both features, their sum, outputs.
    row_bytes = 4 * 6 * channels * shape[1] * shape[2]
    return max(2, 2 * int(slab_bytes // (2 * row_bytes)))


def padded_rows(x: Tensor, start: int, stop: int) -> Tensor:
    """Return rows [start, stop) of (1, C, I, J, K) along axis I, zeros outside the volume."""
    total = x.shape[2]
    inside = x[:, :, max(start, 0) : min(stop, total)]
    return pad_rows(inside, max(-start, 0), max(stop - total, 0))


def pad_rows(x: Tensor, below: int, above: int) -> Tensor:
    """Add rows of zeros along axis I."""
    return functional.pad(x, (0, 0, 0, 0, below, above)) if below or above else x


def empty_map(like: Tensor, channels: int, shape: Sequence[int]) -> Tensor:
    """Return an uninitialised (1, channels, I, J, K) tensor, channels last in memory."""
    return torch.empty(
        (1, channels, *shape), dtype=like.dtype, device=like.device, memory_format=torch.channels_last_3d
    )


def normalise(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply batch norm with running statistics; other norms belong to the block before, and nothing is left to do."""
    if not isinstance(norm, nn.BatchNorm3d):
        return x
    return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)


def normalise_and_pool(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply batch norm, then pool by two; pooling first gives the same bits where no channel is turned around."""
    if not isinstance(norm, nn.BatchNorm3d) or bool((norm.weight >= 0).all()):
        return normalise(norm, functional.max_pool3d(x, 2))
    return functional.max_pool3d(normalise(norm, x), 2)


def activate_into(x: Tensor, out: Tensor, kind: str) -> Tensor:
    """Write ELU or leaky ReLU of ``x`` into ``out``, which may be ``x``; sparing a copy of full-size maps."""
    if kind == "elu":
        return torch.ops.aten.elu.out(x, out=out)
    return torch.ops.aten.leaky_relu.out(x, SLOPE, out=out)


class ChannelNorm:
    """Group norm with a group for every channel, whose volume is seen slab by slab before any of it is normalised."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        self._norm = norm
        self._count = 0
        self._mean = torch.zeros(norm.num_channels, dtype=torch.float64)  # on the CPU: MPS has no float64
        self._squares = torch.zeros(norm.num_channels, dtype=torch.float64)

    def seen(self, rows: Tensor) -> Tensor:
        """Count rows (1, C, R, J, K) in, and return them.

        References
        ----------
        Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
        """
        for block in _statistic_blocks(rows):
            mean, variance = _mean_and_variance(block)
            count, before = block[:, 0].numel(), self._count
            self._count += count
            step = mean.cpu().double() - self._mean
            self._mean += step * count / self._count
            self._squares += variance.cpu().double() * count + step.square() * before * count / self._count
        return rows

    def normalised(self, rows: Tensor) -> Tensor:
        """Return rows of the volume with mean and variance of the whole."""
        norm = self._norm
        deviation = torch.sqrt(self._squares / self._count + norm.eps)
        scale = norm.weight.cpu().double() / deviation
        shift = norm.bias.cpu().double() - self._mean * scale
        scale, shift = (part.to(rows)[None, :, None, None, None] for part in (scale, shift))
        return torch.addcmul(shift, rows, scale)


def _statistic_blocks(rows: Tensor) -> Iterator[Tensor]:
    """Yield the parts that statistics are taken of: on the CPU small ones, in which sums of float32 lose nothing."""
    if rows.device.type != "cpu":
        yield rows
        return
    step = max(_STATISTIC_VOXELS // rows.shape[4], 1)
    deep = max(step // rows.shape[3], 1)
    for row in range(0, rows.shape[2], deep):
        for start in range(0, rows.shape[3], step):
            yield rows[:, :, row : row + deep, start : start + step]


def _mean_and_variance(block: Tensor) -> tuple[Tensor, Tensor]:
    if block.device.type == "cpu":  # a tenth of the time of var_mean where channels come last in memory
        return torch.ops.aten.batch_norm_update_stats(block, None, None, 0.0)
    variance, mean = torch.var_mean(block, dim=(0, 2, 3, 4), correction=0)
    return mean, variance


_ONEDNN = torch.backends.mkldnn.is_available()


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: Sequence[int] = (0, 0, 0),
    stride: Sequence[int] = (1, 1, 1),
) -> Tensor:
    """Convolve (1, C, I, J, K) with (O, C, k, k, k).

    On the CPU torch decides by C * I * J alone whether oneDNN is used and takes a kernel that is several times slower
    below about 20 000; slabs of few rows fall there, so oneDNN is asked for directly.
    """
    if _ONEDNN and x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled():
        return torch.mkldnn_convolution(x, weight, bias, padding, stride, (1, 1, 1), 1)
    return functional.conv3d(x, weight, bias, tuple(stride), tuple(padding))
