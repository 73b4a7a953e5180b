"""Shapes of translators: what they refuse, and what images must be multiples of."""

from __future__ import annotations

import pytest

from synthseg_core.errors import ModelError
from synthseg_core.networks.translator_config import (
    DiffusionConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    TranslatorNetworks,
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GeneratorConfig(features=0), "features too small"),
        (lambda: DiffusionConfig(channels=(8, 16), attention=(False,)), "2 channels and 1 choices of attention"),
        (lambda: DiffusionConfig(channels=(12, 16), attention=(False, False)), "multiples of the 8 groups"),
        (lambda: DiffusionConfig(channels=(32, 48), attention=(False, False)), "attention heads of 32"),
        (lambda: DiffusionConfig(steps=0), "steps too small"),
        (lambda: DiscriminatorConfig(timed_channels=(8,)), "timed_channels"),
        (lambda: TranslatorNetworks("magic"), "expected diffusion or cycle"),
        (lambda: TranslatorNetworks(neighbours=-1), "neighbours too small"),
    ],
)
def test_impossible_shapes(make, message):
    with pytest.raises(ModelError, match=message):
        make()


def test_channels_and_multiples():
    assert TranslatorNetworks(neighbours=2).image_channels == 5
    generator = GeneratorConfig(halvings=1)
    diffusion = DiffusionConfig(channels=(32,) * 4, attention=(False,) * 4)
    assert TranslatorNetworks("cycle", generator=generator, diffusion=diffusion).multiple == 2
    assert TranslatorNetworks("diffusion", generator=generator, diffusion=diffusion).multiple == 8
