"""Batches of a training: a pair depends on its number alone; pairs that belong together stay so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthseg_core.errors import InputError
from synthseg_core.translation.batches import Pairs
from synthseg_core.translation.dataset import require_images
from tests.phantoms.translation import Ellipses, tiny_config


class Numbered(Ellipses):
    """Images that tell their number and where in the image one looks."""

    def image(self, domain, split, index):
        return np.arange(30 * 34, dtype=np.float32).reshape(1, 30, 34) / 2000 + np.float32(index / 50)


def test_a_pair_depends_on_its_number_alone():
    pairs = Pairs(Ellipses(24), tiny_config("diffusion"))
    together = pairs.batch([4, 7, 5])
    alone = pairs.batch([7])
    assert together.images.shape == (2, 3, 1, 16, 16)
    assert torch.equal(together.images[:, 1:2], alone.images)
    for way in ("forward", "backward"):
        one, other = together.draws[way], alone.draws[way]
        assert torch.equal(one.step[1:2], other.step)
        assert torch.equal(one.noise[:, 1:2], other.noise)
        assert torch.equal(one.latent[1:2], other.latent)
    assert not torch.equal(together.images[:, 0], together.images[:, 1])
    assert not torch.equal(together.draws["forward"].noise, together.draws["backward"].noise)


def test_noise_is_standard_normal_and_steps_are_uniform():
    draws = Pairs(Ellipses(24), tiny_config("diffusion", networks={"diffusion": {"steps": 4}})).batch(range(64))
    one = draws.draws["forward"]
    assert float(one.noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(one.noise.std()) == pytest.approx(1, abs=0.02)
    assert sorted(set(one.step.tolist())) == [0, 1, 2, 3]


def test_other_seeds_give_other_pairs_and_cycles_need_no_noise():
    first, second = (Pairs(Ellipses(24), tiny_config(seed=seed)).batch([0]) for seed in (0, 1))
    assert not torch.equal(first.images, second.images)
    assert first.draws == {}


@pytest.mark.parametrize("paired", [True, False])
def test_paired_images_are_cropped_and_mirrored_alike(paired):
    batch = Pairs(Numbered(), tiny_config(), paired=paired).batch(range(8))
    assert torch.equal(batch.images[0], batch.images[1]) == paired


def test_a_domain_without_images():
    with pytest.raises(InputError, match="bright: found no images in train"):
        require_images(Ellipses(number=0), "bright", "train")
