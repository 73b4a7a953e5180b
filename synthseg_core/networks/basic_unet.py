"""The 3-D U-Net that MONAI calls BasicUNet, as a plain module whose parameters have the names of MONAI's.

Falk et al., U-Net: deep learning for cell counting, detection, and morphometry, Nature Methods 2019. Instance norm is
written as group norm with a group for every channel: the same numbers, the same names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.config import BasicUNetConfig


class NormedConvolution(nn.Module):
    """A 3x3x3 convolution and its instance norm; the caller applies the activation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.adn = nn.ModuleDict({"N": nn.GroupNorm(out_channels, out_channels)})

    @property
    def norm(self) -> nn.Module:
        """The norm."""
        return self.adn["N"]

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised features."""
        return self.norm(self.conv(x))


class TwoConvolutions(nn.Module):
    """Two convolutions, each with norm and leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.conv_0 = NormedConvolution(in_channels, out_channels)
        self.conv_1 = NormedConvolution(out_channels, out_channels)

    @property
    def layers(self) -> tuple[NormedConvolution, NormedConvolution]:
        """Both, in order."""
        return self.conv_0, self.conv_1

    def forward(self, x: Tensor) -> Tensor:
        """Return features."""
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), self.slope)
        return x


class Down(nn.Module):
    """A step to the next coarser level: max pooling, then two convolutions."""

    def __init__(self, in_channels: int, out_channels: int, slope: float) -> None:
        super().__init__()
        self.convs = TwoConvolutions(in_channels, out_channels, slope)

    def forward(self, x: Tensor) -> Tensor:
        """Return features at half the resolution."""
        return self.convs(functional.max_pool3d(x, 2))


class Up(nn.Module):
    """A step to the next finer level: transposed convolution, the skip before it, then two convolutions.

    Parameters
    ----------
    below, skip, out_channels
        Channels of the coarser level, of the skip and of the result.
    kept
        Channels of the upsampled map.
    """

    def __init__(self, below: int, skip: int, kept: int, out_channels: int, slope: float) -> None:
        super().__init__()
        self.upsample = nn.ModuleDict({"deconv": nn.ConvTranspose3d(below, kept, 2, 2)})
        self.convs = TwoConvolutions(skip + kept, out_channels, slope)

    @property
    def deconv(self) -> nn.ConvTranspose3d:
        """What upsamples."""
        layer = self.upsample["deconv"]
        assert isinstance(layer, nn.ConvTranspose3d)
        return layer

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return features at twice the resolution."""
        return self.convs(torch.cat([skip, self.deconv(x)], dim=1))


class BasicUNet(nn.Module):
    """Encoder and decoder; all steps but the last halve the channels when they upsample."""

    def __init__(self, config: BasicUNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, last, slope = config.encoder_widths, config.features[-1], config.slope
        self.conv_0 = TwoConvolutions(config.in_channels, widths[0], slope)
        for level in range(1, config.levels):
            self.add_module(f"down_{level}", Down(widths[level - 1], widths[level], slope))
        for level in reversed(range(1, config.levels)):
            below, skip = widths[level], widths[level - 1]
            out_channels = skip if level > 1 else last
            self.add_module(f"upcat_{level}", Up(below, skip, config.upsampled_width(level), out_channels, slope))
        self.final_conv = nn.Conv3d(last, config.out_channels, 1)

    def down(self, level: int) -> Down:
        """Return the step to a level, 0 being the finest."""
        module = self.get_submodule(f"down_{level}")
        assert isinstance(module, Down)
        return module

    def up(self, level: int) -> Up:
        """Return the step from a level to the next finer one."""
        module = self.get_submodule(f"upcat_{level}")
        assert isinstance(module, Up)
        return module

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, N, I, J, K) of an image (B, C, I, J, K), edges divisible by ``2 ** (levels - 1)``."""
        maps = [self.conv_0(image)]
        for level in range(1, self.config.levels):
            maps.append(self.down(level)(maps[-1]))
        x = maps.pop()
        for level in reversed(range(1, self.config.levels)):
            x = self.up(level)(x, maps.pop())
        return self.final_conv(x)
