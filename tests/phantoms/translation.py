"""Images of two made-up domains: ellipses, dark on bright in the first and bright on dark in the second."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthseg_core.networks.translator_config import (
    DiffusionConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    TranslatorNetworks,
)
from synthseg_core.networks.translators import translating_net
from synthseg_core.training.config import Intervals
from synthseg_core.translation.card import (
    CARD_NAME,
    WEIGHTS_NAME,
    Domain,
    TranslatorCard,
    TranslatorWeights,
    write_translator,
)
from synthseg_core.translation.config import TranslationConfig
from synthseg_core.translation.matching import GreyValues

NEEDS_EINOPS = pytest.mark.skipif(find_spec("einops") is None, reason="needs einops (extra translation)")


@dataclass(frozen=True)
class Ellipses:
    """As a translation dataset: images are drawn from their numbers alone.

    Parameters
    ----------
    size
        Height and width, pixels; the width has six more.
    number
        Images of each domain and split.
    neighbours
        Slices on each side.
    """

    size: int = 32
    number: int = 12
    neighbours: int = 0
    domains: tuple[str, str] = ("dark", "bright")

    def count(self, domain: str, split: str) -> int:
        assert domain in self.domains
        return self.number if split in ("train", "val") else 0

    def image(self, domain: str, split: str, index: int) -> np.ndarray:
        rng = np.random.default_rng([index, split == "val", self.domains.index(domain)])
        rows, columns = np.mgrid[: self.size, : self.size + 6]
        centre, radii = rng.uniform(0.4, 0.6, 2) * self.size, rng.uniform(0.15, 0.35, 2) * self.size
        inside = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 1
        ellipse, ground = (-0.8, 0.4) if domain == self.domains[0] else (0.8, -0.7)
        image = np.where(inside, ellipse, ground) + rng.normal(0, 0.05, inside.shape)
        return np.repeat(np.clip(image, -1, 1)[None].astype(np.float32), 2 * self.neighbours + 1, 0)


def tiny_networks(method: str = "cycle", neighbours: int = 0) -> TranslatorNetworks:
    """Return networks that take milliseconds."""
    return TranslatorNetworks(
        method,
        neighbours,
        GeneratorConfig(features=4, halvings=1, blocks=1),
        DiffusionConfig(channels=(4, 8), attention=(False, False), groups=2, head_channels=8, steps=2),
        DiscriminatorConfig(features=4, layers=2, timed_channels=(4, 8, 8)),
    )


def tiny_config(method: str = "cycle", steps: int = 6, **changes: object) -> TranslationConfig:
    """Return a training of a second."""
    config = TranslationConfig(
        networks=tiny_networks(method),
        size=16,
        steps=steps,
        batch_size=2,
        ema_decay=0.9,
        validation_images=3,
        intervals=Intervals(log=2, checkpoint=3, validate=3, snapshot=0),
        device="cpu",
    )
    return config.changed(changes)


def matching_card(folder: Path, **changes: Any) -> TranslatorCard:
    """Return the card of a translator without networks, for axial slices of 2 mm."""
    first, second = (
        Domain(name, low, high, GreyValues(quantiles, quantiles[1], 0.5), subjects=3)
        for name, low, high, quantiles in (
            ("dark", 0.0, 100.0, (-0.9, 0.0, 0.9)),
            ("bright", 50.0, 250.0, (-0.5, 0.3, 1.0)),
        )
    )
    card = TranslatorCard("toy", "histogram", (first, second), "axial", 2.0, folder / CARD_NAME, tile=16)
    return replace(card, **changes)


def cycle_card(folder: Path, method: str = "cycle", neighbours: int = 0) -> TranslatorCard:
    """Return the card of tiny networks; :func:`write_toy_translator` writes weights too."""
    weights = TranslatorWeights(WEIGHTS_NAME, 0, "")
    return matching_card(folder, method=method, networks=tiny_networks(method, neighbours), weights=weights)


def write_toy_translator(folder: Path, method: str = "cycle", neighbours: int = 0, seed: int = 0) -> TranslatorCard:
    """Write a translator with random weights that make a visible difference."""
    card = cycle_card(folder, method, neighbours)
    assert card.networks is not None
    arrays: dict[str, np.ndarray] = {}
    torch.manual_seed(seed)
    for forward in (True, False):
        name, net = translating_net(card.networks, forward)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, 0, 0.2)
        arrays |= {f"{name}.{key}": value.numpy() for key, value in net.state_dict().items()}
    return write_translator(card, arrays)
