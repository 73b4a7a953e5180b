"""Run a U-Net of nnU-Net on one patch in bounded memory, with the numbers of :class:`NnUNet` up to float32 rounding.

At the published size a map of the finest stage takes 1.6 GB, and the plain forward pass holds several at once. Here
maps are made and changed in slabs of rows along axis I, convolutions overwrite their input where shapes allow, the stem
of a residual encoder is computed again where its rows are needed, and one map of the finest stage is all that exists.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.nnunet import ConvolutionStack, NnUNet, NormedConvolution, ResidualBlock, ResidualStage
from synthseg_core.networks.normed_slabs import NormedRunner, Rows
from synthseg_core.networks.slabs import SLAB_BYTES, ChannelNorm, Consumer, conv3d, empty_map, pad_rows, padded_rows


class NnUNetRunner(NormedRunner):
    """A network prepared for inference.

    Parameters
    ----------
    net
        The network; put into evaluation mode.
    slab_bytes
        Memory for the temporaries of one slab.
    """

    def __init__(self, net: NnUNet, *, slab_bytes: int = SLAB_BYTES) -> None:
        super().__init__(net, net.decoder.head, net.config.slope, slab_bytes)
        self.net = net

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
        x = self.taken(image)
        skips: list[Tensor] = []
        for number, stage in enumerate(self.net.encoder.stages):
            if number == 0 and isinstance(stage, ResidualStage):
                x = self._first_stage(x, stage)
            else:
                x = self._stage(x, stage)
            skips.append(x)
        skips.pop()
        decoder = self.net.decoder
        for up, stack in zip(decoder.transpconvs, decoder.stages, strict=True):
            assert isinstance(stack, ConvolutionStack)
            x = self.decode(x, skips.pop(), up, stack.convs)  # type: ignore[arg-type]
        self.hand_on(x, consume)

    def _first_stage(self, image: Tensor, stage: ResidualStage) -> Tensor:
        """Return the features of the stem and of the first stage, which neither steps nor widens."""
        (stem,) = self.net.encoder.stem.convs
        first, *others = stage.blocks
        assert isinstance(stem, NormedConvolution)
        assert isinstance(first, ResidualBlock)
        shape, radius = tuple(image.shape[2:]), stem.conv.kernel_size[0] // 2
        padding = (0, *(int(p) for p in stem.conv.padding[1:]))

        def convolved(start: int, stop: int) -> Tensor:
            rows = padded_rows(image, start - radius, stop + radius)
            return conv3d(rows, stem.conv.weight, stem.conv.bias, padding)

        norm = ChannelNorm(stem.norm)
        for start, stop in self.spans_of(stem.conv.out_channels, shape):
            norm.seen(convolved(start, stop))

        def features(start: int, stop: int) -> Tensor:
            low, high = max(start, 0), min(stop, shape[0])
            rows = functional.leaky_relu_(norm.normalised(convolved(low, high)), self.slope)
            return pad_rows(rows, low - start, stop - high)

        x = self._between(first, features, features, shape)
        for block in others:
            x = self._block(x, block)  # type: ignore[arg-type]
        return x

    def _stage(self, x: Tensor, stage: nn.Module) -> Tensor:
        if isinstance(stage, ResidualStage):
            for block in stage.blocks:
                x = self._block(x, block)  # type: ignore[arg-type]
            return x
        (stack,) = stage  # type: ignore[misc]
        return self.stack(x, stack.convs)

    def _block(self, x: Tensor, block: ResidualBlock) -> Tensor:
        shorter = x
        for step in block.skip:
            pools = isinstance(step, nn.AvgPool3d)
            shorter = self._pooled(shorter, step) if pools else self._projected(shorter, step)  # type: ignore[arg-type]
        return self._between(
            block,
            lambda start, stop: padded_rows(x, start, stop),
            lambda start, stop: shorter[:, :, start:stop],
            tuple(x.shape[2:]),
        )

    def _between(self, block: ResidualBlock, rows: Rows, shorter: Rows, shape: tuple[int, ...]) -> Tensor:
        """Return the features of a block from rows of a map of a shape, and of the shorter path beside it."""
        result = self.convolved(block.conv1, rows, shape)
        self.finish(result, block.conv1)
        self.convolve_in_place(block.conv2, result)
        norm = self.norm_over(block.conv2, result)
        for start, stop in self.spans(result):
            both = norm.normalised(result[:, :, start:stop]).add_(shorter(start, stop))
            result[:, :, start:stop] = functional.leaky_relu_(both, self.slope)
        return result

    def _projected(self, x: Tensor, layer: NormedConvolution) -> Tensor:
        result = self.convolved(layer, lambda start, stop: x[:, :, start:stop], tuple(x.shape[2:]))
        norm = self.norm_over(layer, result)
        for start, stop in self.spans(result):
            result[:, :, start:stop] = norm.normalised(result[:, :, start:stop])
        return result

    def _pooled(self, x: Tensor, pool: nn.AvgPool3d) -> Tensor:
        """Pool slab by slab: torch copies what it pools, channels first."""
        i, j, k = pool.stride  # type: ignore[misc]
        result = empty_map(x, x.shape[1], [n // step for n, step in zip(x.shape[2:], (i, j, k), strict=True)])
        for start, stop in self.spans(result):
            result[:, :, start:stop] = functional.avg_pool3d(x[:, :, start * i : stop * i], pool.kernel_size, (i, j, k))
        return result
