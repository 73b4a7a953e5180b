"""The 3-D U-Net of SynthSeg (Billot et al., Medical Image Analysis 2023), as a plain module."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.config import UNetConfig

# Keras defaults, which the published weights were trained with.
NORM_EPSILON = 1e-3
NORM_MOMENTUM = 0.01


class ConvBlock(nn.Module):
    """Two convolutions with ELU; a batch norm that the caller applies, since skips branch off before it."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv3d(in_channels, out_channels, kernel_size, padding="same")
        self.conv1 = nn.Conv3d(out_channels, out_channels, kernel_size, padding="same")
        self.norm = nn.BatchNorm3d(out_channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features before batch norm."""
        return functional.elu(self.conv1(functional.elu(self.conv0(x))))


class UNet(nn.Module):
    """Encoder and decoder with nearest-neighbour upsampling; skips are taken before batch norm."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width(level) for level in range(config.levels)]
        inputs = [config.in_channels, *widths[:-1]]
        self.down = nn.ModuleList(ConvBlock(a, b, config.kernel_size) for a, b in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(self._up_block(step, widths) for step in range(config.levels - 1))
        self.head = nn.Conv3d(config.features, config.out_channels, 1)

    def _up_block(self, step: int, widths: list[int]) -> ConvBlock:
        level = self.config.levels - 2 - step
        skip = widths[level] if self.config.has_skip(step) else 0
        return ConvBlock(skip + widths[level + 1], widths[level], self.config.kernel_size)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        image : (B, C, I, J, K)
            Normalised intensities; I, J, K divisible by ``2 ** (levels - 1)``.

        Returns
        -------
        (B, N, I, J, K)
            One channel per class, before softmax.
        """
        skips: list[Tensor] = []
        x = image
        for level, block in enumerate(self.down):
            x = block(x)
            skips.append(x)
            x = block.norm(x)  # type: ignore[operator]
            if level < self.config.levels - 1:
                x = functional.max_pool3d(x, 2)
        for step, block in enumerate(self.up):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            if self.config.has_skip(step):
                x = torch.cat([skips[self.config.levels - 2 - step], x], dim=1)
            x = block.norm(block(x))  # type: ignore[operator]
        return self.head(x)
