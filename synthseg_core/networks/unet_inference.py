"""Run a U-Net on a whole scan in bounded memory, with the numbers of :class:`UNet` up to float32 rounding.

The finest level of a U-Net holds dozens of full-size maps; here every level is computed in slabs of rows along axis I,
and only what later steps need is kept: one skip tensor a level. Three exact rewritings make it fast: convolutions after
upsampling run at the coarse resolution (:mod:`synthseg_core.networks.upsampling`), the last batch norm is folded into
the 1x1x1 head, and rows shared by neighbouring slabs are carried over instead of recomputed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synthseg_core.networks.slabs import (
    SLAB_BYTES,
    conv3d,
    empty_map,
    normalise,
    normalise_and_pool,
    padded_rows,
    prepared,
    slab_rows,
)
from synthseg_core.networks.unet import ConvBlock, UNet
from synthseg_core.networks.upsampling import MergedKernel, add_upsampled_convolution, merge_kernel
from synthseg_core.system.timing import checkpoint

Consumer = Callable[[int, int, Tensor], None]
"""Receives ``start, stop, posteriors``: rows [start, stop) of the (N, stop - start, J, K) posteriors."""


@dataclass(frozen=True)
class _DecoderStep:
    """Weights of one decoder step, split into what reads the skip and what reads the coarse level."""

    skip_weight: Tensor | None
    bias: Tensor
    coarse: MergedKernel
    block: ConvBlock


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
        self.head_weight, self.head_bias = _fold_norm(net.up[-1].norm, net.head)  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return self.head_bias.device

    @torch.inference_mode()
    def run(self, image: Tensor, consume: Consumer) -> None:
        """Compute posteriors row by row.

        Parameters
        ----------
        image : (C, I, J, K)
            Normalised intensities, float32, on any device; axes divisible by ``2 ** (levels - 1)``.
        consume
            Called with consecutive slabs of softmax outputs, from row 0 upwards.
        """
        x = image.to(self.device, torch.float32)[None].contiguous(memory_format=torch.channels_last_3d)
        skips: list[Tensor | None] = []
        last = len(self.net.down) - 1
        for level, block in enumerate(self.net.down):
            keep_skip = level < last and self.net.config.has_skip(last - 1 - level)
            x, skip = self._encode(x, block, keep_skip=keep_skip, pool=level < last)  # type: ignore[arg-type]
            skips.append(skip)
        for step in self.steps[:-1]:
            skips.pop()
            x = self._decode(x, skips[-1], step)
        for start, stop, features in self._decoder_rows(x, skips[0], self.steps[-1]):
            consume(start, stop, self._posteriors(features))

    def _posteriors(self, features: Tensor) -> Tensor:
        """Apply the 1x1x1 head and softmax: (1, F, R, J, K) in, (N, R, J, K) out, contiguous."""
        voxels = features.permute(0, 2, 3, 4, 1).reshape(-1, features.shape[1])
        logits = torch.addmm(self.head_bias[:, None], self.head_weight, voxels.t())
        return torch.softmax(logits, dim=0).view(-1, *features.shape[2:])

    def _decoder_step(self, step: int, block: ConvBlock) -> _DecoderStep:
        weight, bias = block.conv0.weight, block.conv0.bias
        assert bias is not None
        skip_channels = block.conv0.out_channels if self.net.config.has_skip(step) else 0
        skip = weight[:, :skip_channels].contiguous(memory_format=torch.channels_last_3d) if skip_channels else None
        merged = merge_kernel(weight[:, skip_channels:])
        merged = MergedKernel(
            merged.weight.contiguous(memory_format=torch.channels_last_3d), merged.before, merged.shift
        )
        return _DecoderStep(skip, bias, merged, block)

    def _encode(self, x: Tensor, block: ConvBlock, *, keep_skip: bool, pool: bool) -> tuple[Tensor, Tensor | None]:
        """Return the input of the next level and, if wanted, the skip tensor."""
        shape = x.shape[2:]
        skip = empty_map(x, block.conv0.out_channels, shape) if keep_skip else None
        result = empty_map(x, block.conv0.out_channels, tuple(n // 2 for n in shape) if pool else shape)

        def first(start: int, stop: int) -> Tensor:
            radius = block.conv0.kernel_size[0] // 2
            return _conv_rows(block.conv0, padded_rows(x, start - radius, stop + radius))

        for start, stop, features in self._block_rows(first, block, shape, skip):
            if pool:
                result[:, :, start // 2 : stop // 2] = normalise_and_pool(block.norm, features)
            else:
                result[:, :, start:stop] = normalise(block.norm, features)
        return result, skip

    def _decode(self, coarse: Tensor, skip: Tensor | None, step: _DecoderStep) -> Tensor:
        """Return the normalised features of one decoder step, at twice the resolution of ``coarse``."""
        shape = tuple(2 * n for n in coarse.shape[2:])
        result = empty_map(coarse, step.block.conv0.out_channels, shape)
        for start, stop, features in self._decoder_rows(coarse, skip, step):
            result[:, :, start:stop] = normalise(step.block.norm, features)
        return result

    def _decoder_rows(
        self, coarse: Tensor, skip: Tensor | None, step: _DecoderStep
    ) -> Iterator[tuple[int, int, Tensor]]:
        shape = torch.Size(2 * n for n in coarse.shape[2:])

        def first(start: int, stop: int) -> Tensor:
            radius = step.block.conv0.kernel_size[0] // 2
            if skip is None or step.skip_weight is None:
                fine = empty_map(coarse, step.bias.shape[0], (stop - start, *shape[1:]))
                fine.copy_(step.bias[None, :, None, None, None].expand_as(fine))
            else:
                rows = padded_rows(skip, start - radius, stop + radius)
                fine = conv3d(rows, step.skip_weight, step.bias, (0, radius, radius))
            kernel = step.coarse
            after = kernel.weight.shape[-1] - 1 - kernel.before + kernel.shift
            add_upsampled_convolution(fine, padded_rows(coarse, start // 2 - kernel.before, stop // 2 + after), kernel)
            return fine

        return self._block_rows(first, step.block, shape)

    def _block_rows(
        self, first: Callable[[int, int], Tensor], block: ConvBlock, shape: torch.Size, keep: Tensor | None = None
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Yield ``start, stop, features`` of a block; ``first`` gives rows of its first convolution.

        The second convolution needs ``radius`` rows around its own: they are kept from one slab to the next. All
        features are written into ``keep`` if it is given.
        """
        total = shape[0]
        radius = block.conv1.kernel_size[0] // 2
        margin = radius + radius % 2  # rows come in pairs, so that pooling and upsampling stay aligned
        rows = min(slab_rows(block.conv0.out_channels, shape, self.slab_bytes), total)
        window = empty_map(block.conv1.weight, block.conv0.out_channels, (rows + radius + margin, *shape[1:]))
        window[:, :, :radius] = 0  # above row 0
        held, done = radius, 0
        for start in range(0, total, rows):
            checkpoint()
            stop = min(start + rows, total)
            need = min(stop + margin, total)
            if need > done:
                _elu_into(first(done, need), window[:, :, held : held + need - done])
                held, done = held + need - done, need
            used = stop - start + 2 * radius
            if held < used:  # below the last row
                window[:, :, held:used] = 0
            features = _conv_rows(block.conv1, window[:, :, :used])
            yield start, stop, _elu_into(features, features if keep is None else keep[:, :, start:stop])
            held -= stop - start
            window[:, :, :held] = window[:, :, stop - start : stop - start + held].clone()


def _conv_rows(conv: nn.Conv3d, rows: Tensor) -> Tensor:
    """Convolve; the margin of axis I is already in ``rows``, the other axes are padded with zeros."""
    radius = conv.kernel_size[0] // 2
    return conv3d(rows, conv.weight, conv.bias, (0, radius, radius))


def _elu_into(x: Tensor, out: Tensor) -> Tensor:
    """Write the ELU of ``x`` into ``out``, which may be ``x``; sparing a copy of full-size maps."""
    return torch.ops.aten.elu.out(x, out=out)


def _fold_norm(norm: nn.BatchNorm3d, head: nn.Conv3d) -> tuple[Tensor, Tensor]:
    """Fold an affine batch norm into the 1x1x1 convolution after it (no padding, so this is exact)."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert head.bias is not None
    arrays = (norm.weight, norm.bias, norm.running_mean, norm.running_var, head.weight[:, :, 0, 0, 0], head.bias)
    gamma, beta, mean, variance, weight, bias = (array.cpu().double() for array in arrays)  # MPS has no float64
    scale = gamma / torch.sqrt(variance + norm.eps)
    bias = bias + weight @ (beta - mean * scale)
    return (weight * scale).to(head.weight), bias.to(head.bias)
