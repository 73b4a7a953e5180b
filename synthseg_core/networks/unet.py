"""The 3-D U-Net of SynthSeg (Billot et al., Medical Image Analysis 2023), and networks of our own, as plain modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.channel_norm import ChannelNorm3d
from synthseg_core.networks.config import UNetConfig
from synthseg_core.networks.doubling import doubled_beside
from synthseg_core.networks.folding import fold, unfold

# Keras defaults, which the published weights were trained with.
NORM_EPSILON = 1e-3
NORM_MOMENTUM = 0.01


SLOPE = 0.01  # of the leaky ReLU


def activate(x: Tensor, kind: str) -> Tensor:
    """Apply ELU or leaky ReLU."""
    return functional.elu(x) if kind == "elu" else functional.leaky_relu(x, SLOPE)


class ConvBlock(nn.Module):
    """Two convolutions with activations; a batch norm that the caller applies, since skips branch off before it."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, activation: str = "elu") -> None:
        super().__init__()
        self.activation = activation
        self.conv0 = nn.Conv3d(in_channels, out_channels, kernel_size, padding="same")
        self.conv1 = nn.Conv3d(out_channels, out_channels, kernel_size, padding="same")
        self.norm = nn.BatchNorm3d(out_channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features before batch norm."""
        return activate(self.conv1(activate(self.conv0(x), self.activation)), self.activation)


class GroupNormBlock(nn.Module):
    """Two convolutions, each with a norm of every channel over the volume; perhaps a shorter path beside them.

    ``norm`` leaves everything as it is: nothing is left for the caller to apply.
    """

    def __init__(self, in_channels: int, out_channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.residual = config.residual
        edge = config.kernel_size
        self.conv0 = nn.Conv3d(in_channels, out_channels, edge, padding="same", bias=False)
        self.norm0 = ChannelNorm3d(out_channels)
        self.conv1 = nn.Conv3d(out_channels, out_channels, edge, padding="same", bias=False)
        self.norm1 = ChannelNorm3d(out_channels)
        if config.residual and in_channels != out_channels:
            self.shortcut: nn.Module = nn.Conv3d(in_channels, out_channels, 1, bias=False)
        else:
            self.shortcut = nn.Identity()
        self.norm = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        features = self.norm1(self.conv1(activate(self.norm0(self.conv0(x)), self.activation)))
        return activate(features + self.shortcut(x) if self.residual else features, self.activation)


Block = ConvBlock | GroupNormBlock


class UNet(nn.Module):
    """Encoder and decoder with nearest-neighbour upsampling; skips are taken before batch norm, after group norm.

    With folding (:mod:`synthseg_core.networks.folding`) all of it works on blocks of voxels; ``detail`` sees the last
    features beside the voxels of the blocks, and the head both of them.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width(level) for level in range(config.levels)]
        seen = config.in_channels * config.block_voxels
        inputs = [seen, *widths[:-1]]
        self.down = nn.ModuleList(self._block(a, b) for a, b in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(self._up_block(step, widths) for step in range(config.levels - 1))
        detail = config.detail_features
        self.detail = GroupNormBlock(config.features + seen, detail, config) if detail else None
        self.head = nn.Conv3d(config.features + detail, config.out_channels * config.block_voxels, 1)

    def _block(self, in_channels: int, out_channels: int) -> Block:
        if self.config.norm == "group":
            return GroupNormBlock(in_channels, out_channels, self.config)
        return ConvBlock(in_channels, out_channels, self.config.kernel_size, self.config.activation)

    def _up_block(self, step: int, widths: list[int]) -> Block:
        level = self.config.levels - 2 - step
        skip = widths[level] if self.config.has_skip(step) else 0
        return self._block(skip + widths[level + 1], widths[level])

    def forward(self, image: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        image : (B, C, I, J, K)
            Normalised intensities; I, J, K divisible by ``2 ** halvings``.

        Returns
        -------
        (B, N, I, J, K)
            One channel per class, before softmax.
        """
        skips: list[Tensor] = []
        x = blocks = fold(image, self.config.folding)
        for level, block in enumerate(self.down):
            x = block(x)
            skips.append(x)
            x = block.norm(x)  # type: ignore[operator]
            if level < self.config.levels - 1:
                x = functional.max_pool3d(x, 2)
        for step, block in enumerate(self.up):
            x = doubled_beside(skips[self.config.levels - 2 - step] if self.config.has_skip(step) else None, x)
            x = block.norm(block(x))  # type: ignore[operator]
        if self.detail is not None:
            x = torch.cat([x, self.detail(torch.cat([x, blocks.to(x.dtype)], dim=1))], dim=1)
        return unfold(self.head(x), self.config.folding)
