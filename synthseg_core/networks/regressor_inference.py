"""Run the quality regressor in bounded memory: levels are computed in slabs, only pooled maps are kept.

What surrounds the head is left out exactly (:mod:`synthseg_core.networks.repetition`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from synthseg_core.networks.regressor import Regressor, ResidualBlock
from synthseg_core.networks.repetition import AxisPlan, Run, background_runs, select
from synthseg_core.networks.slabs import conv3d, normalise_and_pool, padded_rows, prepared, slab_rows

# Slabs compute the rows around them again, two on each side for a kernel of five, so they had better be thick.
REGRESSOR_SLAB_BYTES = 800 * 2**20


class RegressorRunner:
    """A quality regressor prepared for inference; the numbers of :class:`Regressor` up to float32 rounding."""

    def __init__(self, net: Regressor) -> None:
        prepared(net)
        self.net = net

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return self.net.final[0].weight.device  # type: ignore[return-value]

    @torch.inference_mode()
    def run(self, groups: Tensor) -> Tensor:
        """Return raw scores (N,).

        Parameters
        ----------
        groups : (I, J, K)
            Group of every voxel, integers; edges divisible by ``2 ** halvings``.
        """
        groups = groups.to(self.device)
        x: Tensor | None = None
        runs: list[tuple[Run, ...]] = [(), (), ()]
        if self.net.config.pooling > 1:
            x = self._shares(groups)
        else:
            runs = [background_runs(groups, axis) for axis in range(3)]
        for block in self.net.down:
            x, runs = self._level_without_repetition(groups, x, block, runs)  # type: ignore[arg-type]
        assert x is not None
        for final in self.net.final:
            pad = final.kernel_size[0] // 2  # type: ignore[index]
            x = conv3d(x, final.weight, final.bias, (pad, pad, pad)).relu_()  # type: ignore[arg-type]
        return x.cpu().mean(dim=(2, 3, 4), dtype=torch.float64)[0].float()

    def _shares(self, groups: Tensor) -> Tensor:
        """Return the share of each group in every block of voxels, (1, N, I', J', K'), a group at a time."""
        config, dtype = self.net.config, self.net.final[0].weight.dtype
        edges = [n // config.pooling for n in groups.shape]
        shares = torch.empty((1, config.in_channels, *edges), dtype=dtype, device=self.device)  # type: ignore[arg-type]
        for group in range(config.in_channels):
            shares[0, group] = functional.avg_pool3d((groups == group).to(dtype)[None], config.pooling)[0]  # type: ignore[arg-type]
        return shares.contiguous(memory_format=torch.channels_last_3d)

    def _level_without_repetition(
        self, groups: Tensor, x: Tensor | None, block: ResidualBlock, runs: Sequence[tuple[Run, ...]]
    ) -> tuple[Tensor, list[tuple[Run, ...]]]:
        """Compute one level on the slices that differ; returns its output and the runs of equal slices in it."""
        reach = 2 * (block.conv0.kernel_size[0] // 2)
        shape = groups.shape if x is None else x.shape[2:]
        plans = [AxisPlan.of(n, axis_runs, reach) for n, axis_runs in zip(shape, runs, strict=True)]
        kept = [plan.kept for plan in plans]
        if x is None:
            result = self._level(select(groups, kept), None, block)
        else:
            result = self._level(groups, select(x, kept).contiguous(memory_format=torch.channels_last_3d), block)
        repeated = select(result, [plan.repeated for plan in plans])
        return repeated, [tuple(run.pooled(reach) for run in axis_runs) for axis_runs in runs]

    def _level(self, groups: Tensor, x: Tensor | None, block: ResidualBlock) -> Tensor:
        """Compute one level; the first reads the map of groups and makes its one-hot rows on the way."""
        shape = groups.shape if x is None else x.shape[2:]
        channels = block.conv0.out_channels
        # Both convolutions of the input read the same rows: one kernel with twice the outputs.
        weight = torch.cat([block.conv0.weight, block.shortcut.weight])
        bias = torch.cat([block.conv0.bias, block.shortcut.bias])  # type: ignore[list-item]
        result = torch.empty(
            (1, channels, *(n // 2 for n in shape)),
            dtype=weight.dtype,
            device=weight.device,
            memory_format=torch.channels_last_3d,
        )
        radius = block.conv0.kernel_size[0] // 2
        rows = slab_rows(channels, shape, REGRESSOR_SLAB_BYTES)
        for start in range(0, shape[0], rows):
            stop = min(start + rows, shape[0])
            low, high = max(start - radius, 0), min(stop + radius, shape[0])
            source = self._input_rows(groups, x, low - radius, high + radius)
            both = conv3d(source, weight, bias, (0, radius, radius)).relu_()
            # Outside the volume the second convolution reads zeros, not features.
            hidden = functional.pad(both[:, :channels], (0, 0, 0, 0, low - (start - radius), (stop + radius) - high))
            straight = conv3d(hidden, block.conv1.weight, block.conv1.bias, (0, radius, radius))
            joined = straight.add_(both[:, channels:, start - low : stop - low]).relu_()
            result[:, :, start // 2 : stop // 2] = normalise_and_pool(block.norm, joined)
        return result

    def _input_rows(self, groups: Tensor, x: Tensor | None, start: int, stop: int) -> Tensor:
        if x is not None:
            return padded_rows(x, start, stop)
        total = groups.shape[0]
        inside = groups[max(start, 0) : min(stop, total)].long()
        hot = functional.one_hot(inside, self.net.config.in_channels).to(self.net.final[0].weight.dtype)  # type: ignore[arg-type]
        return functional.pad(
            hot.permute(3, 0, 1, 2)[None], (0, 0, 0, 0, max(-start, 0), max(stop - total, 0))
        ).contiguous(memory_format=torch.channels_last_3d)
