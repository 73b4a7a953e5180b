"""A network that translates a batch of images, in one pass or step by step from noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from synthseg_core.networks.translator_config import TranslatorNetworks
from synthseg_core.translation.diffusion import FewSteps

Noise: TypeAlias = Callable[[int, str], Tensor]
"""Returns standard normal numbers for step ``n``: as ``image``, (B, C, H, W), or ``latent``, (B, L, H, W)."""


def no_noise(step: int, what: str) -> Tensor:
    """Stand for the noise of methods that use none."""
    raise AssertionError(f"noise ({what}, {step}) for a translation in one pass")


class ImageTranslator:
    """One direction of a translator.

    Parameters
    ----------
    networks
        Shapes, and the method.
    net
        As :func:`synthseg_core.networks.translators.translating_net` makes it.
    """

    def __init__(self, networks: TranslatorNetworks, net: nn.Module) -> None:
        self.networks = networks
        self.net = net
        self.process = FewSteps(networks.diffusion.steps) if networks.method == "diffusion" else None

    @property
    def steps(self) -> int:
        """Passes of the network an image."""
        return self.process.steps if self.process is not None else 1

    @torch.inference_mode()
    def __call__(self, source: Tensor, noise: Noise = no_noise) -> Tensor:
        """Return translated images (B, C, H, W), -1 to 1.

        Parameters
        ----------
        source : (B, C, H, W)
            Images with their neighbours.
        noise
            See :data:`Noise`.
        """
        if self.process is None:
            return self.net(source)

        def predict(noisy: Tensor, step: Tensor) -> Tensor:
            return self.net(noisy, source, step, noise(int(step[0]), "latent"))

        return self.process.sample(predict, lambda number: noise(number, "image"))


def seeded_noise(networks: TranslatorNetworks, images: Tensor, seed: int) -> Noise:
    """Return noise for whole images that depends on a seed alone: for validations and previews."""
    channels = {"image": networks.image_channels, "latent": networks.diffusion.latent}

    def noise(step: int, what: str) -> Tensor:
        generator = torch.Generator().manual_seed(2 * (1000 * seed + step) + (what == "latent"))
        shape = (len(images), channels[what], *images.shape[2:])
        return torch.randn(shape, generator=generator).to(images.device)

    return noise
