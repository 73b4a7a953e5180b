"""The 3-D U-Nets of nnU-Net v2 as plain modules, whose parameters have the names of its checkpoints.

Isensee et al., Nature Methods 2021 (plain encoder) and MICCAI 2024 (residual encoder). Instance norm is written as
group norm with a group for every channel: the same numbers, the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.config import Kernel, NnUNetConfig

_ONE: Kernel = (1, 1, 1)


class NormedConvolution(nn.Module):
    """Convolution and instance norm; the caller applies the activation."""

    def __init__(
        self, channels: tuple[int, int], kernel: Kernel, stride: Kernel, epsilon: float, *, bias: bool
    ) -> None:
        super().__init__()
        padding = tuple((edge - 1) // 2 for edge in kernel)
        self.conv = nn.Conv3d(*channels, kernel, stride, padding, bias=bias)  # type: ignore[arg-type]
        self.norm = nn.GroupNorm(channels[1], channels[1], eps=epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised features."""
        return self.norm(self.conv(x))


class ConvolutionStack(nn.Module):
    """Convolutions one after the other, each with its norm and activation; the first one may step.

    Parameters
    ----------
    widths
        Channels before, between and after the convolutions.
    """

    def __init__(self, widths: Sequence[int], kernel: Kernel, config: NnUNetConfig, stride: Kernel = _ONE) -> None:
        super().__init__()
        self.slope = config.slope
        self.convs = nn.ModuleList(
            NormedConvolution(pair, kernel, _ONE if n else stride, config.epsilon, bias=config.bias)
            for n, pair in enumerate(pairwise(widths))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features."""
        for conv in self.convs:
            x = functional.leaky_relu(conv(x), self.slope)
        return x


class ResidualBlock(nn.Module):
    """Two convolutions beside a shorter path: average pooling where the block steps, 1x1x1 where it widens."""

    def __init__(self, in_channels: int, width: int, kernel: Kernel, stride: Kernel, config: NnUNetConfig) -> None:
        super().__init__()
        self.slope = config.slope
        self.conv1 = NormedConvolution((in_channels, width), kernel, stride, config.epsilon, bias=config.bias)
        self.conv2 = NormedConvolution((width, width), kernel, _ONE, config.epsilon, bias=config.bias)
        steps: list[nn.Module] = [nn.AvgPool3d(stride, stride)] if max(stride) > 1 else []
        if in_channels != width:
            steps.append(NormedConvolution((in_channels, width), _ONE, _ONE, config.epsilon, bias=False))
        self.skip = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        """Return features."""
        y = functional.leaky_relu(self.conv1(x), self.slope)
        return functional.leaky_relu(self.conv2(y) + self.skip(x), self.slope)


class ResidualStage(nn.Module):
    """Residual blocks, of which the first one steps."""

    def __init__(self, in_channels: int, stage: int, config: NnUNetConfig) -> None:
        super().__init__()
        width, kernel, stride = config.features[stage], config.kernels[stage], config.strides[stage]
        self.blocks = nn.ModuleList(
            ResidualBlock(width if n else in_channels, width, kernel, _ONE if n else stride, config)
            for n in range(config.blocks[stage])
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features."""
        for block in self.blocks:
            x = block(x)
        return x


class Encoder(nn.Module):
    """Stages from fine to coarse; before residual ones a stem."""

    def __init__(self, config: NnUNetConfig) -> None:
        super().__init__()
        first = config.features[0]
        inputs = [first if config.encoder == "residual" else config.in_channels, *config.features[:-1]]
        if config.encoder == "residual":
            self.stem = ConvolutionStack((config.in_channels, first), config.kernels[0], config)
            self.stages = nn.ModuleList(ResidualStage(n, stage, config) for stage, n in enumerate(inputs))
        else:
            self.stages = nn.ModuleList(_plain_stage(n, stage, config) for stage, n in enumerate(inputs))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of every stage."""
        x = self.stem(x) if hasattr(self, "stem") else x
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


def _plain_stage(in_channels: int, stage: int, config: NnUNetConfig) -> nn.Sequential:
    widths = (in_channels, *[config.features[stage]] * config.blocks[stage])
    return nn.Sequential(ConvolutionStack(widths, config.kernels[stage], config, config.strides[stage]))


class Decoder(nn.Module):
    """Stages from coarse to fine, after a transposed convolution each; of the heads only the finest is there."""

    def __init__(self, config: NnUNetConfig) -> None:
        super().__init__()
        coarse_first = list(reversed(range(len(config.features) - 1)))
        self.transpconvs, self.stages = nn.ModuleList(), nn.ModuleList()
        for stage, count in zip(coarse_first, config.decoder_convolutions, strict=True):
            width, stride = config.features[stage], config.strides[stage + 1]
            below = config.features[stage + 1]
            self.transpconvs.append(nn.ConvTranspose3d(below, width, stride, stride, bias=config.bias))
            self.stages.append(ConvolutionStack((2 * width, *[width] * count), config.kernels[stage], config))
        head = nn.Conv3d(config.features[0], config.out_channels, 1)
        self.seg_layers = nn.ModuleDict({str(len(config.features) - 2): head})

    @property
    def head(self) -> nn.Conv3d:
        """Return the layer that makes logits."""
        (layer,) = self.seg_layers.values()
        assert isinstance(layer, nn.Conv3d)
        return layer

    def forward(self, skips: list[Tensor]) -> Tensor:
        """Return logits from the features of every stage of the encoder."""
        x = skips[-1]
        for step, (up, stage) in enumerate(zip(self.transpconvs, self.stages, strict=True)):
            x = stage(torch.cat([up(x), skips[-2 - step]], dim=1))
        return self.head(x)


class NnUNet(nn.Module):
    """``ResidualEncoderUNet`` or ``PlainConvUNet``, without the heads that only training needs."""

    def __init__(self, config: NnUNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, N, I, J, K) of an image (B, C, I, J, K) with edges divisible by the strides."""
        return self.decoder(self.encoder(image))
