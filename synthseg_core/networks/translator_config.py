"""Shapes of the networks that translate images, without torch, so that cards can be read and checked cheaply."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from synthseg_core.errors import ModelError

METHODS = ("diffusion", "cycle")
"""Few-step adversarial diffusion with a cycle beside it; the cycle alone."""


@dataclass(frozen=True)
class GeneratorConfig:
    """A residual network from image to image in one pass; the defaults are those of CycleGAN for 256 pixels.

    Parameters
    ----------
    features
        Channels of the finest level; doubled at each halving.
    halvings
        How often the image is halved before the residual blocks.
    blocks
        Residual blocks at the coarsest level.
    outer_kernel
        Edge of the first and the last kernel, odd. With few halvings and small kernels a network changes contrast and
        can do little else: it learns sooner, and keeps anatomy.

    References
    ----------
    Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017, appendix.
    """

    features: int = 64
    halvings: int = 2
    blocks: int = 6
    outer_kernel: int = 7

    def __post_init__(self) -> None:
        _positive("generator", features=self.features, blocks=self.blocks, halvings=self.halvings + 1)
        if self.outer_kernel < 1 or self.outer_kernel % 2 == 0:
            raise _fault("generator", f"outer_kernel {self.outer_kernel}", "an odd number")


@dataclass(frozen=True)
class DiffusionConfig:
    """A U-Net that sees a noisy image and its source, and predicts the image without noise.

    Parameters
    ----------
    channels
        Of each level, the finest first.
    attention
        Which levels have attention; between the way down and the way up there always is some.
    blocks
        Residual blocks of a level.
    groups
        Of group norm; they divide all channels.
    head_channels
        Of one attention head.
    latent
        Extra channels of noise at the input: several clean images fit to one that is very noisy, and these choose.
    steps
        From noise to image.
    """

    channels: tuple[int, ...] = (32, 64, 64)
    attention: tuple[bool, ...] = (False, False, False)
    blocks: int = 1
    groups: int = 8
    head_channels: int = 32
    latent: int = 1
    steps: int = 4

    def __post_init__(self) -> None:
        _positive("diffusion", blocks=self.blocks, groups=self.groups, steps=self.steps, latent=self.latent + 1)
        if len(self.channels) != len(self.attention) or not self.channels:
            found = f"{len(self.channels)} channels and {len(self.attention)} choices of attention"
            raise _fault("diffusion", found, "one of each for every level")
        if any(count < 1 or count % self.groups for count in self.channels):
            raise _fault("diffusion", f"channels {self.channels}", f"multiples of the {self.groups} groups")
        attentive = [self.channels[-1], *(n for n, has in zip(self.channels, self.attention, strict=True) if has)]
        if self.head_channels < 1 or any(count % self.head_channels for count in attentive):
            found = f"channels {self.channels} with attention heads of {self.head_channels}"
            raise _fault("diffusion", found, "multiples of it where attention is; the coarsest level always has some")


@dataclass(frozen=True)
class DiscriminatorConfig:
    """What tells images of a domain from translated ones.

    Parameters
    ----------
    features
        First channels of the one that judges patches; doubled at each layer.
    layers
        Of that one; three look at 70 pixels.
    timed_channels
        Of the one that judges noisy images: of its first layer, and after each halving.
    """

    features: int = 64
    layers: int = 3
    timed_channels: tuple[int, ...] = (64, 128, 256, 256)

    def __post_init__(self) -> None:
        _positive("discriminator", features=self.features, layers=self.layers)
        if len(self.timed_channels) < 2 or min(self.timed_channels) < 1:
            raise _fault("discriminator", f"timed_channels {self.timed_channels}", "two or more positive numbers")


@dataclass(frozen=True)
class TranslatorNetworks:
    """All networks of a translator between two domains; a training has them twice.

    Parameters
    ----------
    method
        One of :data:`METHODS`.
    neighbours
        Slices on each side that a slice comes with, as channels.
    generator, diffusion, discriminator
        Their shapes.
    """

    method: str = "cycle"
    neighbours: int = 0
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise _fault("method", repr(self.method), " or ".join(METHODS))
        _positive("networks", neighbours=self.neighbours + 1)

    @property
    def image_channels(self) -> int:
        """Channels of an image: a slice and its neighbours."""
        return 2 * self.neighbours + 1

    @property
    def multiple(self) -> int:
        """What height and width of an image are multiples of."""
        halvings = [self.generator.halvings]
        if self.method == "diffusion":
            halvings.append(len(self.diffusion.channels) - 1)
        return math.lcm(*(2**count for count in halvings))


def _positive(subject: str, **values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise _fault(subject, f"{name} too small", "a larger number")


def _fault(subject: str, found: str, expected: str) -> ModelError:
    return ModelError(f"translator, {subject}", found=found, expected=expected, remedy="correct the settings")
