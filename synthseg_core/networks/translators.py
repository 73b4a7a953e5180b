"""Networks that translate images, and what judges them. U-Net and patch discriminator are MONAI's.

Images are (B, C, H, W) between -1 and 1; their channels are a slice and its neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.errors import UsageError
from synthseg_core.networks.translator_config import (
    DiffusionConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    TranslatorNetworks,
)

_SLOPE = 0.2  # of leaky rectifiers in discriminators, as everywhere


class ResidualGenerator(nn.Module):
    """From image to image in one pass: halvings, residual blocks, doublings; instance norm, mirrored edges.

    Parameters
    ----------
    config
        Its shape.
    channels
        Of an image.
    """

    def __init__(self, config: GeneratorConfig, channels: int) -> None:
        super().__init__()
        widths = [config.features * 2**level for level in range(config.halvings + 1)]
        layers: list[nn.Module] = [_mirrored_conv(channels, widths[0], config.outer_kernel), *_normed(widths[0])]
        for fine, coarse in itertools.pairwise(widths):
            layers += [nn.Conv2d(fine, coarse, 3, stride=2, padding=1), *_normed(coarse)]
        layers += [_ResidualBlock(widths[-1]) for _ in range(config.blocks)]
        for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(coarse, fine, 3, padding=1), *_normed(fine)]
        layers += [_mirrored_conv(widths[0], channels, config.outer_kernel), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return images of the other domain."""
        return self.layers(images)


class _ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _mirrored_conv(width, width, 3), *_normed(width), _mirrored_conv(width, width, 3), nn.InstanceNorm2d(width)
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


def _mirrored_conv(inputs: int, outputs: int, edge: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, edge, padding=edge // 2, padding_mode="reflect")


def _normed(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(width), nn.ReLU()


class DiffusionGenerator(nn.Module):
    """Predicts the image without noise from a noisy one and its source.

    Parameters
    ----------
    config
        Its shape.
    channels
        Of an image.
    """

    def __init__(self, config: DiffusionConfig, channels: int) -> None:
        super().__init__()
        with monai_wanted():
            from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet

            self.unet = DiffusionModelUNet(  # inside, because its attention asks for einops only now
                spatial_dims=2,
                in_channels=2 * channels + config.latent,
                out_channels=channels,
                num_res_blocks=config.blocks,
                channels=config.channels,
                attention_levels=config.attention,
                norm_num_groups=config.groups,
                num_head_channels=config.head_channels,
            )

    def forward(self, noisy: Tensor, source: Tensor, step: Tensor, latent: Tensor) -> Tensor:
        """Return images between -1 and 1.

        Parameters
        ----------
        noisy : (B, C, H, W)
            Of the domain to be made.
        source : (B, C, H, W)
            Of the other domain.
        step : (B,)
            How noisy: from 0, the last step before the image, to the number of steps less one.
        latent : (B, L, H, W)
            Noise that chooses among the images that fit.
        """
        return torch.tanh(self.unet(torch.cat([noisy, source, latent], 1), step))


class TimedDiscriminator(nn.Module):
    """Judges whether an image with some noise is one that truly came before an image with more.

    Parameters
    ----------
    config
        Its shape.
    channels
        Of an image.
    steps
        Levels of noise.

    References
    ----------
    Xiao et al., Tackling the generative learning trilemma with denoising diffusion GANs, ICLR 2022: the idea; the
    layers are our own.
    """

    def __init__(self, config: DiscriminatorConfig, channels: int, steps: int) -> None:
        super().__init__()
        widths = config.timed_channels
        self.first = nn.Conv2d(2 * channels, widths[0], 1)
        self.blocks = nn.ModuleList(_TimedBlock(fine, coarse, steps) for fine, coarse in itertools.pairwise(widths))
        self.last = nn.Linear(widths[-1], 1)

    def forward(self, less: Tensor, more: Tensor, step: Tensor) -> Tensor:
        """Return one logit for each pair, (B,), positive for true ones.

        Parameters
        ----------
        less, more : (B, C, H, W)
            The image before a step of noise and after it.
        step : (B,)
            Number of that step, from 0.
        """
        features = self.first(torch.cat([less, more], 1))
        for block in self.blocks:
            features = block(features, step)
        return self.last(functional.leaky_relu(features, _SLOPE).mean((2, 3))).squeeze(1)


class _TimedBlock(nn.Module):
    """Two convolutions that know the step, then half the size, beside a plain way around."""

    def __init__(self, inputs: int, outputs: int, steps: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Embedding(steps, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.around = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, features: Tensor, step: Tensor) -> Tensor:
        inner = self.first(functional.leaky_relu(features, _SLOPE)) + self.time(step)[:, :, None, None]
        inner = self.second(functional.leaky_relu(inner, _SLOPE))
        return functional.avg_pool2d(inner + self.around(features), 2) / 2**0.5


class PatchCritic(nn.Module):
    """MONAI's patch discriminator as one map of logits.

    Parameters
    ----------
    config
        Its shape.
    channels
        Of an image.
    """

    def __init__(self, config: DiscriminatorConfig, channels: int) -> None:
        super().__init__()
        with monai_wanted():
            from monai.networks.nets.patchgan_discriminator import PatchDiscriminator
        self.patches = PatchDiscriminator(
            spatial_dims=2, channels=config.features, in_channels=channels, num_layers_d=config.layers, norm="INSTANCE"
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, 1, h, w) logits, positive for true images."""
        return self.patches(images)[-1]


def new_generators(config: TranslatorNetworks) -> nn.ModuleDict:
    """Return the networks that make images, by name; ``forward`` makes the second domain, ``backward`` the first."""
    channels = config.image_channels
    nets: dict[str, nn.Module] = {
        f"cycle_{way}": ResidualGenerator(config.generator, channels) for way in ("forward", "backward")
    }
    if config.method == "diffusion":
        nets |= {f"diffusion_{way}": DiffusionGenerator(config.diffusion, channels) for way in ("forward", "backward")}
    return nn.ModuleDict(nets)


def new_discriminators(config: TranslatorNetworks) -> nn.ModuleDict:
    """Return the networks that judge images, by name; ``forward`` judges those of the second domain."""
    channels, steps = config.image_channels, config.diffusion.steps
    nets: dict[str, nn.Module] = {
        f"cycle_{way}": PatchCritic(config.discriminator, channels) for way in ("forward", "backward")
    }
    if config.method == "diffusion":
        nets |= {
            f"diffusion_{way}": TimedDiscriminator(config.discriminator, channels, steps)
            for way in ("forward", "backward")
        }
    return nn.ModuleDict(nets)


def translating_net(config: TranslatorNetworks, forward: bool) -> tuple[str, nn.Module]:
    """Return name and network of what translates in one direction: the diffusion's, where there is one."""
    name = f"{config.method}_{'forward' if forward else 'backward'}"
    channels = config.image_channels
    if config.method == "diffusion":
        return name, DiffusionGenerator(config.diffusion, channels)
    return name, ResidualGenerator(config.generator, channels)


@contextmanager
def monai_wanted() -> Iterator[None]:
    """Say in one line what is missing where MONAI, or einops, which its attention needs, is not installed."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            "synthseg translate",
            found=f"no package {'einops' if 'einops' in str(error) else 'monai'}",
            expected="it installed, for its diffusion networks",
            remedy="run: pip install 'synthseg-bids[translation]'",
        ) from error


def parameters_of(net: nn.Module) -> int:
    """Return how many numbers a network learns."""
    return sum(cast(Tensor, parameter).numel() for parameter in net.parameters())
