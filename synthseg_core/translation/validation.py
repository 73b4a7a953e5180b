"""How good a translator is without pairs: images there and back, and grey values against those of the other domain.

Either alone can be had for nothing: what changes nothing comes back unharmed, and what paints any image of the other
domain has its grey values. Their sum is small where contrast changes and anatomy stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from synthseg_core.networks.translator_config import TranslatorNetworks
from synthseg_core.translation.adversarial import WAYS
from synthseg_core.translation.dataset import Crop, Images, require_images
from synthseg_core.translation.translator import ImageTranslator, seeded_noise

_QUANTILES = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Scores:
    """Distances of a validation, smaller being better; means over both ways, in units of images (-1 to 1).

    Parameters
    ----------
    round_trip_l1
        Between images and themselves, there and back.
    grey_distance
        Between the distributions of grey values of translated and of true images.
    """

    round_trip_l1: float
    grey_distance: float

    @property
    def distance(self) -> float:
        """The sum, by which the best weights are chosen."""
        return self.round_trip_l1 + self.grey_distance


@dataclass(frozen=True)
class Examples:
    """Images of the validation split, by domain, and what became of them.

    Parameters
    ----------
    true, translated, returned
        Two tensors (N, C, H, W) each: of the first and the second domain; the translation of each; and that of the
        translation back.
    """

    true: tuple[Tensor, Tensor]
    translated: tuple[Tensor, Tensor]
    returned: tuple[Tensor, Tensor]


def validation_images(data: Images, split: str, most: int, size: int) -> tuple[Tensor, Tensor]:
    """Return images of both domains, evenly from all, cut to the middle; the same each time.

    Parameters
    ----------
    data
        Images.
    split
        ``val``, or another.
    most
        How many of each domain at most.
    size
        Edge of the crop, pixels.
    """
    first, second = (_some(data, domain, split, most, size) for domain in data.domains)
    return first, second


def _some(data: Images, domain: str, split: str, most: int, size: int) -> Tensor:
    count = require_images(data, domain, split)
    chosen = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
    return torch.from_numpy(np.stack([_middle(data.image(domain, split, int(index)), size) for index in chosen]))


def _middle(image: np.ndarray, size: int) -> np.ndarray:
    corner = tuple((count - size) // 2 for count in image.shape[-2:])
    return Crop((size, size), (corner[0], corner[1]), (False, False)).of(image)


def translated_examples(
    networks: TranslatorNetworks, generators: Mapping[str, nn.Module], images: tuple[Tensor, Tensor], seed: int = 0
) -> Examples:
    """Translate images there and back.

    Parameters
    ----------
    networks
        Shapes, and the method.
    generators
        By name, in evaluation mode.
    images
        Of both domains, on the device of the generators.
    seed
        Of the noise.
    """
    there, back = (ImageTranslator(networks, generators[f"{networks.method}_{way}"]) for way in WAYS)

    def through(one: ImageTranslator, batch: Tensor, number: int) -> Tensor:
        noise = seeded_noise(networks, batch[:1], 4 * seed + number)  # one noise for all: only images differ
        return torch.cat([one(image, noise) for image in batch.split(1)]).float()

    translated = through(there, images[0], 0), through(back, images[1], 1)
    returned = through(back, translated[0], 2), through(there, translated[1], 3)
    return Examples(images, translated, returned)


def scores_of(examples: Examples) -> Scores:
    """Return the distances of a validation."""
    trips = [
        float((true - returned).abs().mean()) for true, returned in zip(examples.true, examples.returned, strict=True)
    ]
    greys = [
        grey_distance(translated, true)
        for translated, true in zip(examples.translated, examples.true[::-1], strict=True)
    ]
    return Scores(_mean(trips), _mean(greys))


def grey_distance(images: Tensor, others: Tensor) -> float:
    """Return the first Wasserstein distance between grey values, as the mean distance of a hundred quantiles.

    Parameters
    ----------
    images, others
        Any shapes.
    """
    first, second = (np.quantile(one.cpu().numpy(), _QUANTILES) for one in (images, others))
    return float(np.abs(first - second).mean())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
