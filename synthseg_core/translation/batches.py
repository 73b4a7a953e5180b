"""What one step of a training is made of: images of both domains, and random numbers. Pair k is made of k alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthseg_core.networks.translator_config import TranslatorNetworks
from synthseg_core.synth.randomness import sample_seed
from synthseg_core.translation.adversarial import WAYS, Draws
from synthseg_core.translation.config import TranslationConfig
from synthseg_core.translation.dataset import Images, draw_crop, require_images


@dataclass(frozen=True)
class Batch:
    """Images and random numbers of a step.

    Parameters
    ----------
    images : (2, B, C, H, W)
        Of the first and the second domain.
    draws
        For the diffusion, by way; empty without it.
    """

    images: Tensor
    draws: dict[str, Draws]

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        draws = {
            way: Draws(one.step.to(device), one.noise.to(device), one.latent.to(device))
            for way, one in self.draws.items()
        }
        return Batch(self.images.to(device), draws)


class Pairs:
    """Makes batches from images.

    Parameters
    ----------
    data
        Images of two domains.
    config
        Of the training: size of the crops, seed, and what random numbers its networks want.
    paired
        Whether images of one number show the same place: they are drawn and cropped together then.
    """

    def __init__(self, data: Images, config: TranslationConfig, *, paired: bool = False) -> None:
        self.data = data
        self.config = config
        self.paired = paired
        self.counts = [require_images(data, domain, "train") for domain in data.domains]

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return the pairs of these numbers; which ones come together does not change them."""
        made = [self._pair(number) for number in numbers]
        images = torch.from_numpy(np.stack([[pair[domain] for pair, _ in made] for domain in range(2)]))
        draws = {
            way: Draws(*(torch.stack([one[way][part] for _, one in made], dim) for part, dim in enumerate((0, 1, 0))))
            for way in (WAYS if self.config.networks.method == "diffusion" else ())
        }
        return Batch(images, draws)

    def _pair(self, number: int) -> tuple[list[np.ndarray], dict[str, tuple[Tensor, Tensor, Tensor]]]:
        seed = sample_seed(self.config.seed, number)
        rng = np.random.default_rng(seed)
        first = int(rng.integers(self.counts[0]))
        second = first if self.paired else int(rng.integers(self.counts[1]))
        images = [
            self.data.image(domain, "train", index)
            for domain, index in zip(self.data.domains, (first, second), strict=True)
        ]
        crops = [draw_crop(image.shape, self.config.size, rng) for image in images]
        if self.paired:
            crops[1] = crops[0]
        generator = torch.Generator().manual_seed(seed)
        draws = {way: _draws(self.config.networks, self.config.size, generator) for way in WAYS}
        return [crop.of(image) for crop, image in zip(crops, images, strict=True)], draws


def _draws(networks: TranslatorNetworks, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return step, noise (3, C, H, W) and latent numbers (L, H, W) of one image."""
    channels, shape = networks.image_channels, (size, size)
    step = torch.randint(networks.diffusion.steps, (), generator=generator)
    noise = torch.randn(3, channels, *shape, generator=generator)
    return step, noise, torch.randn(networks.diffusion.latent, *shape, generator=generator)
