"""Run a U-Net on a whole scan in bounded memory, with the numbers of :class:`UNet` up to float32 rounding.

The finest level of a U-Net holds dozens of full-size maps; here every level is computed in slabs of rows along axis I,
and only what later steps need is kept: one skip tensor a level. Three exact rewritings make it fast: convolutions after
upsampling run at the coarse resolution (:mod:`synthseg_core.networks.upsampling`), the last batch norm is folded into
the 1x1x1 head, and rows shared by neighbouring slabs are carried over instead of recomputed.

Group norm needs the mean and variance of a channel over the whole volume before its first row can go on. So the finest
level then keeps one more map: a convolution is written there slab by slab, and the next one reads and overwrites it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.folding import fold
from synthseg_core.networks.slabs import (
    SLAB_BYTES,
    ChannelNorm,
    Consumer,
    activate_into,
    conv3d,
    empty_map,
    normalise,
    normalise_and_pool,
    padded_rows,
    prepared,
    slab_rows,
)
from synthseg_core.networks.unet import Block, GroupNormBlock, UNet
from synthseg_core.networks.upsampling import MergedKernel, add_upsampled_convolution, merge_kernel
from synthseg_core.system.timing import give_way

Shape = tuple[int, ...]


class _Input(Protocol):
    """What a block reads; every method takes rows [start, stop) of its output."""

    @property
    def shape(self) -> Shape:
        """Of a map of the block."""
        ...

    def first(self, start: int, stop: int) -> Tensor:
        """Return rows of the first convolution."""
        ...

    def shortcut(self, start: int, stop: int) -> Tensor:
        """Return rows of the input as a residual block adds it."""
        ...


@dataclass(frozen=True)
class _Level:
    """What a block of the encoder reads: a map."""

    x: Tensor
    block: Block

    @property
    def shape(self) -> Shape:
        return tuple(self.x.shape[2:])

    def first(self, start: int, stop: int) -> Tensor:
        radius = self.block.conv0.kernel_size[0] // 2
        return _conv_rows(self.block.conv0, padded_rows(self.x, start - radius, stop + radius))

    def shortcut(self, start: int, stop: int) -> Tensor:
        rows, path = self.x[:, :, start:stop], self.block.shortcut
        return conv3d(rows, path.weight, None) if isinstance(path, nn.Conv3d) else rows


@dataclass(frozen=True)
class _DecoderStep:
    """Weights of one decoder step, split into what reads the skip and what reads the coarse level."""

    skip_weight: Tensor | None
    bias: Tensor | None
    coarse: MergedKernel
    block: Block


@dataclass(frozen=True)
class _Joined:
    """What a block of the decoder reads: the encoder's map, if it has one, and the coarse one, upsampled."""

    coarse: Tensor
    skip: Tensor | None
    step: _DecoderStep

    @property
    def shape(self) -> Shape:
        return tuple(2 * n for n in self.coarse.shape[2:])

    def first(self, start: int, stop: int) -> Tensor:
        step, kernel = self.step, self.step.coarse
        radius = step.block.conv0.kernel_size[0] // 2
        if self.skip is None or step.skip_weight is None:
            fine = empty_map(self.coarse, step.block.conv0.out_channels, (stop - start, *self.shape[1:]))
            fine.copy_(fine.new_zeros(()) if step.bias is None else step.bias[None, :, None, None, None])
        else:
            rows = padded_rows(self.skip, start - radius, stop + radius)
            fine = conv3d(rows, step.skip_weight, step.bias, (0, radius, radius))
        after = kernel.weight.shape[-1] - 1 - kernel.before + kernel.shift
        rows = padded_rows(self.coarse, start // 2 - kernel.before, stop // 2 + after)
        add_upsampled_convolution(fine, rows, kernel)
        return fine

    def shortcut(self, start: int, stop: int) -> Tensor:
        below, path = self.coarse[:, :, start // 2 : stop // 2], self.step.block.shortcut
        if not isinstance(path, nn.Conv3d):
            return _upsampled(below)
        channels = path.in_channels - below.shape[1]  # of the skip, which comes first
        fine = _upsampled(conv3d(below, path.weight[:, channels:], None))
        if self.skip is not None:
            fine += conv3d(self.skip[:, :, start:stop], path.weight[:, :channels], None)
        return fine


class UNetRunner:
    """A U-Net prepared for inference.

    Parameters
    ----------
    net
        The network; put into evaluation mode.
    slab_bytes
        Memory for the temporaries of one slab.
    """

    def __init__(self, net: UNet, *, slab_bytes: int = SLAB_BYTES) -> None:
        prepared(net)
        self.net = net
        self.slab_bytes = slab_bytes
        self.steps = [self._decoder_step(step, block) for step, block in enumerate(net.up)]  # type: ignore[arg-type]
        self.head_weight, self.head_bias = _folded_head(net.up[-1].norm, net.head)  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return self.head_bias.device

    @property
    def classes(self) -> int:
        """Channels of the answer."""
        return self.net.config.out_channels

    @torch.inference_mode()
    def run(self, image: Tensor, consume: Consumer) -> None:
        """Compute posteriors row by row.

        Parameters
        ----------
        image : (C, I, J, K)
            Normalised intensities, float32, on any device; axes divisible by ``2 ** halvings``.
        consume
            Called with consecutive slabs of softmax outputs, from row 0 upwards.
        """
        for start, stop, features in self._last_features(image):
            for first, last in self._head_spans(start, stop, features.shape):
                edge = self.net.config.folding
                consume(first * edge, last * edge, self._posteriors(features[:, :, first - start : last - start]))

    def _last_features(self, image: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """Yield ``start, stop, features`` that the head reads, on the finest level."""
        x = fold(image.to(self.device, torch.float32)[None], self.net.config.folding)
        x = blocks = x.contiguous(memory_format=torch.channels_last_3d)
        skips: list[Tensor | None] = []
        last = len(self.net.down) - 1
        for level, block in enumerate(self.net.down):
            keep_skip = level < last and self.net.config.has_skip(last - 1 - level)
            x, skip = self._encode(x, block, keep_skip=keep_skip, pool=level < last)  # type: ignore[arg-type]
            skips.append(skip)
        for step in self.steps[:-1]:
            skips.pop()
            x = self._decode(x, skips[-1], step)
        last_step, detail = self.steps[-1], self.net.detail
        if detail is None:
            yield from self._block_rows(_Joined(x, skips[0], last_step), last_step.block)
            return
        x = self._decode(x, skips[0], last_step)
        both = torch.cat([x, blocks], dim=1)
        for start, stop, features in self._block_rows(_Level(both, detail), detail):
            yield start, stop, torch.cat([x[:, :, start:stop], features], dim=1)

    def _head_spans(self, start: int, stop: int, shape: Shape) -> Iterator[tuple[int, int]]:
        """Yield the rows that the head is applied to at once: fewer where every voxel has the logits of a block."""
        blocks = self.net.config.block_voxels
        rows = stop - start if blocks == 1 else slab_rows(blocks * self.classes // 2, shape[2:], self.slab_bytes)
        yield from ((first, min(first + rows, stop)) for first in range(start, stop, rows))

    def _posteriors(self, features: Tensor) -> Tensor:
        """Apply the 1x1x1 head and softmax: (1, F, R, J, K) in, (N, R, J, K) out, contiguous; larger with folding."""
        edge, shape = self.net.config.folding, features.shape[2:]
        voxels = features.permute(0, 2, 3, 4, 1).reshape(-1, features.shape[1])
        logits = torch.addmm(self.head_bias[:, None], self.head_weight, voxels.t())
        if edge > 1:  # rows are those of channels: voxel by voxel of a block
            logits = logits.view(edge, edge, edge, -1, *shape).permute(3, 4, 0, 5, 1, 6, 2)
            shape = torch.Size(edge * n for n in shape)
        return torch.softmax(logits.reshape(-1, shape.numel()), dim=0).view(-1, *shape)

    def _decoder_step(self, step: int, block: Block) -> _DecoderStep:
        weight, bias = block.conv0.weight, block.conv0.bias
        skip_channels = block.conv0.out_channels if self.net.config.has_skip(step) else 0
        skip = weight[:, :skip_channels].contiguous(memory_format=torch.channels_last_3d) if skip_channels else None
        merged = merge_kernel(weight[:, skip_channels:])
        merged = MergedKernel(
            merged.weight.contiguous(memory_format=torch.channels_last_3d), merged.before, merged.shift
        )
        return _DecoderStep(skip, bias, merged, block)

    def _encode(self, x: Tensor, block: Block, *, keep_skip: bool, pool: bool) -> tuple[Tensor, Tensor | None]:
        """Return the input of the next level and, if wanted, the skip tensor."""
        shape = x.shape[2:]
        skip = empty_map(x, block.conv0.out_channels, shape) if keep_skip else None
        result = empty_map(x, block.conv0.out_channels, tuple(n // 2 for n in shape) if pool else shape)
        for start, stop, features in self._block_rows(_Level(x, block), block, skip):
            if pool:
                result[:, :, start // 2 : stop // 2] = normalise_and_pool(block.norm, features)
            else:
                result[:, :, start:stop] = normalise(block.norm, features)
        return result, skip

    def _decode(self, coarse: Tensor, skip: Tensor | None, step: _DecoderStep) -> Tensor:
        """Return the normalised features of one decoder step, at twice the resolution of ``coarse``."""
        source = _Joined(coarse, skip, step)
        result = empty_map(coarse, step.block.conv0.out_channels, source.shape)
        keep = result if isinstance(step.block, GroupNormBlock) else None
        for start, stop, features in self._block_rows(source, step.block, keep):
            result[:, :, start:stop] = normalise(step.block.norm, features)
        return result

    def _block_rows(
        self, source: _Input, block: Block, keep: Tensor | None = None
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Yield ``start, stop, features`` of a block; all features are written into ``keep`` if it is given."""
        if isinstance(block, GroupNormBlock):
            yield from self._group_norm_rows(source, block, keep)
            return

        def fill(start: int, stop: int, out: Tensor) -> None:
            activate_into(source.first(start, stop), out, block.activation)

        for start, stop, features in self._convolved_rows(fill, block, source.shape):
            out = features if keep is None else keep[:, :, start:stop]
            yield start, stop, activate_into(features, out, block.activation)

    def _group_norm_rows(
        self, source: _Input, block: GroupNormBlock, keep: Tensor | None
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Yield rows of a block whose norms need whole maps: both convolutions in turn are held in one map."""
        shape = source.shape
        whole = empty_map(block.conv1.weight, block.conv0.out_channels, shape) if keep is None else keep
        first, second = ChannelNorm(block.norm0), ChannelNorm(block.norm1)
        for start, stop in self._spans(block, shape):
            give_way()
            whole[:, :, start:stop] = first.seen(source.first(start, stop))

        def fill(start: int, stop: int, out: Tensor) -> None:
            activate_into(first.normalised(whole[:, :, start:stop]), out, block.activation)

        for start, stop, features in self._convolved_rows(fill, block, shape):
            whole[:, :, start:stop] = second.seen(features)
        for start, stop in self._spans(block, shape):
            rows = second.normalised(whole[:, :, start:stop])
            if block.residual:
                rows += source.shortcut(start, stop)
            yield start, stop, activate_into(rows, whole[:, :, start:stop], block.activation)

    def _convolved_rows(
        self, fill: Callable[[int, int, Tensor], None], block: Block, shape: Shape
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Yield rows of a block's second convolution; ``fill`` writes rows of what it reads into a tensor.

        The convolution needs ``radius`` rows around its own: they are kept from one slab to the next, so that rows may
        be overwritten once they were yielded.
        """
        total = shape[0]
        radius = block.conv1.kernel_size[0] // 2
        margin = radius + radius % 2  # rows come in pairs, so that pooling and upsampling stay aligned
        spans = self._spans(block, shape)
        rows = spans[0][1]
        window = empty_map(block.conv1.weight, block.conv0.out_channels, (rows + radius + margin, *shape[1:]))
        window[:, :, :radius] = 0  # above row 0
        held, done = radius, 0
        for start, stop in spans:
            give_way()
            need = min(stop + margin, total)
            if need > done:
                fill(done, need, window[:, :, held : held + need - done])
                held, done = held + need - done, need
            used = stop - start + 2 * radius
            if held < used:  # below the last row
                window[:, :, held:used] = 0
            yield start, stop, _conv_rows(block.conv1, window[:, :, :used])
            held -= stop - start
            window[:, :, :held] = window[:, :, stop - start : stop - start + held].clone()

    def _spans(self, block: Block, shape: Shape) -> list[tuple[int, int]]:
        """Return first and last row of every slab."""
        total = shape[0]
        rows = min(slab_rows(block.conv0.out_channels, shape, self.slab_bytes), total)
        return [(start, min(start + rows, total)) for start in range(0, total, rows)]


def _conv_rows(conv: nn.Conv3d, rows: Tensor) -> Tensor:
    """Convolve; the margin of axis I is already in ``rows``, the other axes are padded with zeros."""
    radius = conv.kernel_size[0] // 2
    return conv3d(rows, conv.weight, conv.bias, (0, radius, radius))


def _upsampled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def _folded_head(norm: nn.Module, head: nn.Conv3d) -> tuple[Tensor, Tensor]:
    """Return the 1x1x1 head as a matrix, an affine batch norm before it folded in (no padding, so this is exact)."""
    if not isinstance(norm, nn.BatchNorm3d):
        assert head.bias is not None
        return head.weight[:, :, 0, 0, 0].contiguous(), head.bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert head.bias is not None
    arrays = (norm.weight, norm.bias, norm.running_mean, norm.running_var, head.weight[:, :, 0, 0, 0], head.bias)
    gamma, beta, mean, variance, weight, bias = (array.cpu().double() for array in arrays)  # MPS has no float64
    scale = gamma / torch.sqrt(variance + norm.eps)
    bias = bias + weight @ (beta - mean * scale)
    return (weight * scale).to(head.weight), bias.to(head.bias)
