"""Networks that translate and judge: shapes, what depends on what, sizes, and MONAI where it is missing."""

from __future__ import annotations

import sys

import pytest
import torch

from synthseg_core.errors import UsageError
from synthseg_core.networks.translator_config import DiffusionConfig, TranslatorNetworks
from synthseg_core.networks.translators import (
    DiffusionGenerator,
    PatchCritic,
    ResidualGenerator,
    TimedDiscriminator,
    new_discriminators,
    new_generators,
    parameters_of,
    translating_net,
)
from synthseg_core.translation.config import TranslationConfig
from tests.phantoms.translation import NEEDS_EINOPS, tiny_networks


def test_a_generator_keeps_shape_and_range_whatever_the_channels():
    config = tiny_networks(neighbours=1)
    made = ResidualGenerator(config.generator, 3)(5 * torch.randn(2, 3, 12, 18))
    assert made.shape == (2, 3, 12, 18)
    assert made.abs().max() <= 1


@NEEDS_EINOPS
def test_the_diffusion_network_sees_noise_source_step_and_latent():
    torch.manual_seed(0)
    net = DiffusionGenerator(tiny_networks().diffusion, 1).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)  # MONAI begins its last layer at zero
    noisy, source, latent = torch.randn(3, 1, 1, 16, 16)
    step, other = torch.tensor([0]), torch.randn(1, 1, 16, 16)
    first = net(noisy, source, step, latent)
    assert first.shape == (1, 1, 16, 16)
    for changed in (
        net(other, source, step, latent),
        net(noisy, other, step, latent),
        net(noisy, source, step + 1, latent),
        net(noisy, source, step, other),
    ):
        assert not torch.allclose(first, changed, atol=1e-3)


def test_the_timed_discriminator_gives_a_logit_a_pair_that_depends_on_the_step():
    torch.manual_seed(0)
    judge = TimedDiscriminator(tiny_networks().discriminator, 1, 4)
    less, more = torch.randn(2, 3, 1, 16, 16)
    logits = judge(less, more, torch.tensor([0, 1, 2]))
    assert logits.shape == (3,)
    assert not torch.allclose(logits, judge(less, more, torch.tensor([3, 3, 3])))
    assert torch.allclose(logits[:1], judge(less[:1], more[:1], torch.tensor([0])), atol=1e-6)


def test_the_patch_discriminator_gives_a_map_of_logits():
    logits = PatchCritic(tiny_networks().discriminator, 1)(torch.randn(2, 1, 32, 32))
    assert logits.shape[:2] == (2, 1)
    assert min(logits.shape[2:]) > 1


@NEEDS_EINOPS
def test_eight_networks_with_diffusion_and_four_without():
    for method, count in (("diffusion", 4), ("cycle", 2)):
        config = tiny_networks(method)
        assert len(new_generators(config)) == len(new_discriminators(config)) == count
        name, net = translating_net(config, forward=False)
        assert name == f"{method}_backward"
        assert net.state_dict().keys() == new_generators(config)[name].state_dict().keys()


@NEEDS_EINOPS
@pytest.mark.parametrize(("preset", "least", "most"), [("small", 0.05e6, 2e6), ("medium", 10e6, 20e6)])
def test_sizes_of_presets(preset, least, most):
    """Of the diffusion network of each."""
    config = TranslationConfig.preset(preset).networks
    assert least < parameters_of(DiffusionGenerator(config.diffusion, config.image_channels)) < most


def test_cyclegan_at_its_published_size():
    """7.8 million numbers with six blocks; convolutions after nearest-neighbour doubling as many as transposed ones."""
    assert parameters_of(ResidualGenerator(TranslatorNetworks().generator, 1)) == pytest.approx(7.8e6, rel=0.02)
    assert parameters_of(PatchCritic(TranslatorNetworks().discriminator, 1)) == pytest.approx(2.8e6, rel=0.02)


@pytest.mark.parametrize("package", ["monai", "einops"])
def test_a_package_that_is_missing_is_one_line(monkeypatch, package):
    if package == "monai":
        monkeypatch.setitem(sys.modules, "monai.networks.nets.diffusion_model_unet", None)
    else:
        from monai.networks.blocks import selfattention
        from monai.utils.module import optional_import

        missing, _ = optional_import("einops_that_is_not_there", name="Rearrange")
        monkeypatch.setattr(selfattention, "Rearrange", missing)
    with pytest.raises(UsageError, match=rf"found no package {package};.*synthseg-bids\[translation\]"):
        DiffusionGenerator(DiffusionConfig(), 1)
