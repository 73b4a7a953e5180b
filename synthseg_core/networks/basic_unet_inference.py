"""Run MONAI's BasicUNet in bounded memory, with the numbers of :class:`BasicUNet` up to float32 rounding.

A whole grid at once, or in windows as MONAI's sliding-window inference places and averages them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from synthseg_core.networks.basic_unet import BasicUNet
from synthseg_core.networks.normed_slabs import NormedRunner
from synthseg_core.networks.slabs import SLAB_BYTES, Consumer

_ROWS = 16  # of posteriors that are handed on at a time


class BasicUNetRunner(NormedRunner):
    """A network prepared for inference.

    Parameters
    ----------
    net
        The network; put into evaluation mode.
    slab_bytes
        Memory for the temporaries of one slab.
    """

    def __init__(self, net: BasicUNet, *, slab_bytes: int = SLAB_BYTES) -> None:
        super().__init__(net, net.final_conv, net.config.slope, slab_bytes)
        self.net = net

    @torch.inference_mode()
    def run(self, image: Tensor, consume: Consumer) -> None:
        """Compute logits row by row.

        Parameters
        ----------
        image : (C, I, J, K)
            Float32, on any device; edges divisible by ``2 ** (levels - 1)``.
        consume
            Called with consecutive slabs of logits, from row 0 upwards.
        """
        net, levels = self.net, self.net.config.levels
        x = self.taken(image)
        maps = [self.stack(x, net.conv_0.layers)]
        for level in range(1, levels):
            maps.append(self.stack(functional.max_pool3d(maps[-1], 2), net.down(level).convs.layers))
        x = maps.pop()
        for level in reversed(range(1, levels)):
            step = net.up(level)
            x = self.decode(x, maps.pop(), step.deconv, step.convs.layers, skip_first=True)
        self.hand_on(x, consume)


class WindowedPosteriors:
    """Posteriors of a network that sees a grid whole, or in windows whose logits are averaged.

    Parameters
    ----------
    runner
        Of the network.
    window
        Edges of the windows, voxels; ``None``, or where the grid is smaller: whole.
    """

    def __init__(self, runner: BasicUNetRunner, window: Sequence[int] | None = None) -> None:
        self.runner = runner
        self.window = window

    @property
    def classes(self) -> int:
        """Channels of the answer."""
        return self.runner.net.config.out_channels

    def run(self, image: Tensor, consume: Consumer) -> None:
        """Compute posteriors row by row; parameters as of :meth:`BasicUNetRunner.run`."""
        if self.window is None:
            self.runner.run(image, lambda start, stop, logits: consume(start, stop, torch.softmax(logits, 0)))
            return
        logits = windowed_logits(self.runner, image, self.window)
        for start in range(0, logits.shape[1], _ROWS):
            rows = torch.softmax(logits[:, start : start + _ROWS], 0)
            consume(start, start + rows.shape[1], rows)


def windowed_logits(runner: BasicUNetRunner, image: Tensor, window: Sequence[int]) -> Tensor:
    """Return logits (N, I, J, K) on the CPU, the mean of all windows that hold a voxel.

    Parameters
    ----------
    runner
        Of the network.
    image : (C, I, J, K)
        On any device.
    window
        Edges, voxels; an axis that is shorter is seen whole.
    """
    shape = image.shape[1:]
    edges = [min(edge, n) for edge, n in zip(window, shape, strict=True)]
    total = torch.zeros((runner.net.config.out_channels, *shape))
    counts = [torch.zeros(n) for n in shape]
    starts = [window_starts(n, edge) for n, edge in zip(shape, edges, strict=True)]
    for axis, edge in enumerate(edges):
        for start in starts[axis]:
            counts[axis][start : start + edge] += 1
    for corner in itertools.product(*starts):
        box = (slice(None), *(slice(a, a + n) for a, n in zip(corner, edges, strict=True)))
        part = total[box]

        def add(start: int, stop: int, rows: Tensor, part: Tensor = part) -> None:
            part[:, start:stop] += rows.cpu()

        runner.run(image[box], add)
    for count, view in zip(counts, ((-1, 1, 1), (-1, 1), (-1,)), strict=True):
        total /= count.view(view)
    return total


def window_starts(size: int, window: int) -> list[int]:
    """Return the first voxels of windows along an axis: half a window apart, the last one at the end.

    >>> window_starts(256, 160)
    [0, 80, 96]
    """
    step = max(window // 2, 1)
    return [*range(0, size - window, step), size - window]
