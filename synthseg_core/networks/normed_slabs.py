"""Convolutions with instance norm in bounded memory: what runners of nnU-Net and of MONAI's BasicUNet share.

Maps are made and changed in slabs of rows along axis I, and convolutions overwrite their input where shapes allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.slabs import (
    SLAB_BYTES,
    ChannelNorm,
    Consumer,
    conv3d,
    empty_map,
    pad_rows,
    padded_rows,
    prepared,
    slab_rows,
)
from synthseg_core.system.timing import give_way

Rows = Callable[[int, int], Tensor]
"""Returns rows [start, stop) of a map (1, C, I, J, K), zeros where they lie outside."""

Layer: TypeAlias = Any
"""A module with a convolution ``conv`` and a group norm ``norm`` that has a group for every channel."""


class NormedSlabs:
    """Steps of networks whose convolutions have an instance norm and a leaky ReLU.

    Parameters
    ----------
    slope
        Of the leaky ReLU.
    slab_bytes
        Memory for the temporaries of one slab.
    """

    def __init__(self, slope: float, slab_bytes: int = SLAB_BYTES) -> None:
        self.slope = slope
        self.slab_bytes = slab_bytes

    def stack(self, x: Tensor, layers: Iterable[Layer]) -> Tensor:
        """Return the features of a stack; ``x`` stays as it is."""
        first, *others = layers
        result = self.convolved(first, lambda start, stop: padded_rows(x, start, stop), tuple(x.shape[2:]))
        return self._stacked(result, first, others)

    def _stacked(self, x: Tensor, first: Layer, others: Sequence[Layer]) -> Tensor:
        """Go on with a stack after its first convolution, in place."""
        self.finish(x, first)
        for conv in others:
            self.convolve_in_place(conv, x)
            self.finish(x, conv)
        return x

    def decode(
        self, coarse: Tensor, skip: Tensor, up: nn.ConvTranspose3d, layers: Iterable[Layer], *, skip_first: bool = False
    ) -> Tensor:
        """Return the features of a step of a decoder: upsampling, the skip, a stack of convolutions.

        Where they are as wide as the skip they take its place, so that one map of this level is all that exists.

        Parameters
        ----------
        coarse, skip
            Maps of the level below, and of the encoder at this level.
        up
            Upsampling.
        layers
            Of the stack.
        skip_first
            Whether the channels of the skip come before the upsampled ones.
        """
        first, *others = layers
        factor, total = up.stride[0], skip.shape[2]
        in_place = first.conv.out_channels == skip.shape[1]
        result = skip if in_place else empty_map(skip, first.conv.out_channels, skip.shape[2:])
        radius = first.conv.kernel_size[0] // 2
        above = skip[:, :, :0]  # rows of the skip that the slab before has overwritten, and this one still needs
        for start, stop in self.spans(result):
            give_way()
            low, high = start - above.shape[2], min(stop + radius, total)
            own = torch.cat([above, skip[:, :, start:high]], dim=2) if in_place else skip[:, :, low:high]
            above = own[:, :, max(stop - radius, 0) - low : stop - low].clone()
            below = coarse[:, :, low // factor : -(-high // factor)]
            fine = functional.conv_transpose3d(below, up.weight, up.bias, up.stride)  # type: ignore[arg-type]
            offset = low - low // factor * factor
            parts = [fine[:, :, offset : offset + high - low], own]
            rows = torch.cat(parts[::-1] if skip_first else parts, dim=1)
            rows = pad_rows(rows, radius - (start - low), radius - (high - stop))
            padding = (0, *(int(p) for p in first.conv.padding[1:]))
            result[:, :, start:stop] = conv3d(rows, first.conv.weight, first.conv.bias, padding)
        return self._stacked(result, first, others)

    def convolved(self, layer: Layer, rows: Rows, shape: tuple[int, ...]) -> Tensor:
        """Return the convolution of a map of a shape, before its norm."""
        conv = layer.conv
        step, radius = conv.stride[0], conv.kernel_size[0] // 2
        result = empty_map(
            conv.weight, conv.out_channels, [-(-n // s) for n, s in zip(shape, conv.stride, strict=True)]
        )
        for start, stop in self.spans(result):
            give_way()
            source = rows(start * step - radius, (stop - 1) * step + radius + 1)
            padding = (0, *(int(p) for p in conv.padding[1:]))
            result[:, :, start:stop] = conv3d(source, conv.weight, conv.bias, padding, conv.stride)
        return result

    def convolve_in_place(self, layer: Layer, x: Tensor) -> None:
        """Replace a map by its convolution; the rows above a slab are kept as they were before."""
        conv, radius = layer.conv, layer.conv.kernel_size[0] // 2
        above = x.new_zeros((1, x.shape[1], radius, *x.shape[3:]))
        for start, stop in self.spans(x):
            give_way()
            rows = torch.cat([above, padded_rows(x, start, stop + radius)], dim=2)
            above = rows[:, :, stop - start : stop - start + radius].clone()
            padding = (0, *(int(p) for p in conv.padding[1:]))
            x[:, :, start:stop] = conv3d(rows, conv.weight, conv.bias, padding)

    def finish(self, x: Tensor, layer: Layer) -> None:
        """Apply norm and activation in place."""
        norm = self.norm_over(layer, x)
        for start, stop in self.spans(x):
            x[:, :, start:stop] = functional.leaky_relu_(norm.normalised(x[:, :, start:stop]), self.slope)

    def norm_over(self, layer: Layer, x: Tensor) -> ChannelNorm:
        """Return the norm of a layer after it has seen a whole map."""
        norm = ChannelNorm(layer.norm)
        for start, stop in self.spans(x):
            norm.seen(x[:, :, start:stop])
        return norm

    def spans(self, x: Tensor) -> Iterator[tuple[int, int]]:
        """Yield first and last row of every slab."""
        return self.spans_of(x.shape[1], x.shape[2:])

    def spans_of(self, channels: int, shape: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield first and last row of every slab of a map (1, channels, I, J, K)."""
        total = shape[0]
        rows = min(slab_rows(channels, shape, self.slab_bytes), total)
        yield from ((start, min(start + rows, total)) for start in range(0, total, rows))


class NormedRunner(NormedSlabs):
    """A network of such convolutions, prepared for inference: how every run begins and ends.

    Parameters
    ----------
    net
        The network; put into evaluation mode.
    head
        Its last layer, from features to logits.
    slope
        Of the leaky ReLU.
    slab_bytes
        Memory for the temporaries of one slab.
    """

    def __init__(self, net: nn.Module, head: nn.Conv3d, slope: float, slab_bytes: int) -> None:
        super().__init__(slope, slab_bytes)
        prepared(net)
        self._head = head

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return self._head.weight.device

    def taken(self, image: Tensor) -> Tensor:
        """Return an image (C, I, J, K) as a batch of one, float32, where and how convolutions want it."""
        return image.to(self.device, torch.float32)[None].contiguous(memory_format=torch.channels_last_3d)

    def hand_on(self, x: Tensor, consume: Consumer) -> None:
        """Hand on the logits of features (1, C, I, J, K) row by row, from row 0 upwards."""
        for start, stop in self.spans(x):
            consume(start, stop, conv3d(x[:, :, start:stop], self._head.weight, self._head.bias)[0])
