"""Run a U-Net of nnU-Net on one patch in bounded memory, with the numbers of :class:`NnUNet` up to float32 rounding.

At the published size a map of the finest stage takes 1.6 GB, and the plain forward pass holds several at once. Here
maps are made and changed in slabs of rows along axis I, convolutions overwrite their input where shapes allow, and two
maps of the finest stage are the most that exist at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.nnunet import ConvolutionStack, NnUNet, NormedConvolution, ResidualBlock, ResidualStage
from synthseg_core.networks.slabs import SLAB_BYTES, ChannelNorm, conv3d, empty_map, padded_rows, prepared, slab_rows
from synthseg_core.system.timing import give_way

Consumer = Callable[[int, int, Tensor], None]
"""Receives ``start, stop, logits``: rows [start, stop) of the (N, stop - start, J, K) logits."""

_Rows = Callable[[int, int], Tensor]
"""Returns rows [start, stop) of a map (1, C, I, J, K), zeros where they lie outside."""


class NnUNetRunner:
    """A network prepared for inference.

    Parameters
    ----------
    net
        The network; put into evaluation mode.
    slab_bytes
        Memory for the temporaries of one slab.
    """

    def __init__(self, net: NnUNet, *, slab_bytes: int = SLAB_BYTES) -> None:
        prepared(net)
        self.net = net
        self.slab_bytes = slab_bytes
        self.slope = net.config.slope

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return self.net.decoder.head.weight.device

    @torch.inference_mode()
    def run(self, image: Tensor, consume: Consumer) -> None:
        """Compute logits row by row.

        Parameters
        ----------
        image : (C, I, J, K)
            A patch, float32, on any device.
        consume
            Called with consecutive slabs of logits, from row 0 upwards.
        """
        x = image.to(self.device, torch.float32)[None].contiguous(memory_format=torch.channels_last_3d)
        skips: list[Tensor] = []
        if self.net.config.encoder == "residual":
            x = self._stack(x, self.net.encoder.stem)
        for stage in self.net.encoder.stages:
            x = self._stage(x, stage)
            skips.append(x)
        skips.pop()
        decoder = self.net.decoder
        for up, stack in zip(decoder.transpconvs, decoder.stages, strict=True):
            assert isinstance(stack, ConvolutionStack)
            x = self._decode(x, skips.pop(), up, stack)  # type: ignore[arg-type]
        head = decoder.head
        for start, stop in self._spans(x):
            consume(start, stop, conv3d(x[:, :, start:stop], head.weight, head.bias)[0])

    def _stage(self, x: Tensor, stage: nn.Module) -> Tensor:
        if isinstance(stage, ResidualStage):
            for block in stage.blocks:
                x = self._block(x, block)  # type: ignore[arg-type]
            return x
        (stack,) = stage  # type: ignore[misc]
        return self._stack(x, stack)

    def _stack(self, x: Tensor, stack: ConvolutionStack) -> Tensor:
        """Return the features of a stack; ``x`` stays as it is."""
        first, *others = stack.convs
        result = self._convolved(first, lambda start, stop: padded_rows(x, start, stop), tuple(x.shape[2:]))  # type: ignore[arg-type]
        return self._stacked(result, first, others)

    def _stacked(self, x: Tensor, first: nn.Module, others: list[nn.Module]) -> Tensor:
        """Go on with a stack after its first convolution, in place."""
        self._finish(x, first)
        for conv in others:
            self._convolve_in_place(conv, x)  # type: ignore[arg-type]
            self._finish(x, conv)
        return x

    def _block(self, x: Tensor, block: ResidualBlock) -> Tensor:
        result = self._convolved(block.conv1, lambda start, stop: padded_rows(x, start, stop), tuple(x.shape[2:]))
        self._finish(result, block.conv1)
        self._convolve_in_place(block.conv2, result)
        norm = self._norm(block.conv2, result)
        for step in block.skip:
            x = self._pooled(x, step) if isinstance(step, nn.AvgPool3d) else self._projected(x, step)  # type: ignore[arg-type]
        for start, stop in self._spans(result):
            rows = norm.normalised(result[:, :, start:stop]).add_(x[:, :, start:stop])
            result[:, :, start:stop] = functional.leaky_relu_(rows, self.slope)
        return result

    def _decode(self, coarse: Tensor, skip: Tensor, up: nn.ConvTranspose3d, stack: ConvolutionStack) -> Tensor:
        first, *others = stack.convs
        factor, total = up.stride[0], skip.shape[2]

        def rows(start: int, stop: int) -> Tensor:
            """Return rows of the upsampled map and of the skip, which are never held together as a whole."""
            low, high = max(start, 0), min(stop, total)
            below = coarse[:, :, low // factor : -(-high // factor)]
            fine = functional.conv_transpose3d(below, up.weight, up.bias, up.stride)  # type: ignore[arg-type]
            offset = low - low // factor * factor
            inside = torch.cat([fine[:, :, offset : offset + high - low], skip[:, :, low:high]], dim=1)
            return functional.pad(inside, (0, 0, 0, 0, low - start, stop - high))

        return self._stacked(self._convolved(first, rows, tuple(skip.shape[2:])), first, others)  # type: ignore[arg-type]

    def _convolved(self, layer: NormedConvolution, rows: _Rows, shape: tuple[int, ...]) -> Tensor:
        """Return the convolution of a map of a shape, before its norm."""
        conv = layer.conv
        step, radius = conv.stride[0], conv.kernel_size[0] // 2
        result = empty_map(
            conv.weight, conv.out_channels, [-(-n // s) for n, s in zip(shape, conv.stride, strict=True)]
        )
        for start, stop in self._spans(result):
            give_way()
            source = rows(start * step - radius, (stop - 1) * step + radius + 1)
            padding = (0, *(int(p) for p in conv.padding[1:]))
            result[:, :, start:stop] = conv3d(source, conv.weight, conv.bias, padding, conv.stride)
        return result

    def _convolve_in_place(self, layer: NormedConvolution, x: Tensor) -> None:
        """Replace a map by its convolution; the rows above a slab are kept as they were before."""
        conv, radius = layer.conv, layer.conv.kernel_size[0] // 2
        above = x.new_zeros((1, x.shape[1], radius, *x.shape[3:]))
        for start, stop in self._spans(x):
            give_way()
            rows = torch.cat([above, padded_rows(x, start, stop + radius)], dim=2)
            above = rows[:, :, stop - start : stop - start + radius].clone()
            padding = (0, *(int(p) for p in conv.padding[1:]))
            x[:, :, start:stop] = conv3d(rows, conv.weight, conv.bias, padding)

    def _finish(self, x: Tensor, layer: nn.Module) -> None:
        """Apply norm and activation in place."""
        norm = self._norm(layer, x)
        for start, stop in self._spans(x):
            x[:, :, start:stop] = functional.leaky_relu_(norm.normalised(x[:, :, start:stop]), self.slope)

    def _projected(self, x: Tensor, layer: NormedConvolution) -> Tensor:
        result = self._convolved(layer, lambda start, stop: x[:, :, start:stop], tuple(x.shape[2:]))
        norm = self._norm(layer, result)
        for start, stop in self._spans(result):
            result[:, :, start:stop] = norm.normalised(result[:, :, start:stop])
        return result

    def _pooled(self, x: Tensor, pool: nn.AvgPool3d) -> Tensor:
        return functional.avg_pool3d(x, pool.kernel_size, pool.stride)

    def _norm(self, layer: nn.Module, x: Tensor) -> ChannelNorm:
        norm = ChannelNorm(layer.norm)  # type: ignore[arg-type]
        for start, stop in self._spans(x):
            norm.seen(x[:, :, start:stop])
        return norm

    def _spans(self, x: Tensor) -> Iterator[tuple[int, int]]:
        """Yield first and last row of every slab."""
        total = x.shape[2]
        rows = min(slab_rows(x.shape[1], x.shape[2:], self.slab_bytes), total)
        yield from ((start, min(start + rows, total)) for start in range(0, total, rows))
