"""Run a U-Net of nnU-Net on one patch in bounded memory, with the numbers of :class:`NnUNet` up to float32 rounding.

At the published size a map of the finest stage takes 1.6 GB, and the plain forward pass holds several at once. Here
maps are made and changed in slabs of rows along axis I, convolutions overwrite their input where shapes allow, and two
maps of the finest stage are the most that exist at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.nnunet import ConvolutionStack, NnUNet, NormedConvolution, ResidualBlock, ResidualStage
from synthseg_core.networks.normed_slabs import NormedRunner
from synthseg_core.networks.slabs import SLAB_BYTES, Consumer, padded_rows


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
        if self.net.config.encoder == "residual":
            x = self.stack(x, self.net.encoder.stem.convs)
        for stage in self.net.encoder.stages:
            x = self._stage(x, stage)
            skips.append(x)
        skips.pop()
        decoder = self.net.decoder
        for up, stack in zip(decoder.transpconvs, decoder.stages, strict=True):
            assert isinstance(stack, ConvolutionStack)
            x = self.decode(x, skips.pop(), up, stack.convs)  # type: ignore[arg-type]
        self.hand_on(x, consume)

    def _stage(self, x: Tensor, stage: nn.Module) -> Tensor:
        if isinstance(stage, ResidualStage):
            for block in stage.blocks:
                x = self._block(x, block)  # type: ignore[arg-type]
            return x
        (stack,) = stage  # type: ignore[misc]
        return self.stack(x, stack.convs)

    def _block(self, x: Tensor, block: ResidualBlock) -> Tensor:
        result = self.convolved(block.conv1, lambda start, stop: padded_rows(x, start, stop), tuple(x.shape[2:]))
        self.finish(result, block.conv1)
        self.convolve_in_place(block.conv2, result)
        norm = self.norm_over(block.conv2, result)
        for step in block.skip:
            x = self._pooled(x, step) if isinstance(step, nn.AvgPool3d) else self._projected(x, step)  # type: ignore[arg-type]
        for start, stop in self.spans(result):
            rows = norm.normalised(result[:, :, start:stop]).add_(x[:, :, start:stop])
            result[:, :, start:stop] = functional.leaky_relu_(rows, self.slope)
        return result

    def _projected(self, x: Tensor, layer: NormedConvolution) -> Tensor:
        result = self.convolved(layer, lambda start, stop: x[:, :, start:stop], tuple(x.shape[2:]))
        norm = self.norm_over(layer, result)
        for start, stop in self.spans(result):
            result[:, :, start:stop] = norm.normalised(result[:, :, start:stop])
        return result

    def _pooled(self, x: Tensor, pool: nn.AvgPool3d) -> Tensor:
        return functional.avg_pool3d(x, pool.kernel_size, pool.stride)
