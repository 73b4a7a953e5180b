"""MONAI's BasicUNet in our own words: names, shapes and numbers of MONAI's network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthseg_core.errors import ModelError
from synthseg_core.networks.arrays import array_shapes, parameter_count
from synthseg_core.networks.basic_unet import BasicUNet
from synthseg_core.networks.config import BasicUNetConfig
from tests.phantoms.basic_unet import SMALL, monai_net, random_net


def test_size_of_the_port():
    assert parameter_count(BasicUNetConfig()) == 12_729_416


@pytest.mark.parametrize("config", [SMALL, BasicUNetConfig(), replace(SMALL, in_channels=2, slope=0.1)])
def test_names_and_shapes_are_those_of_monai(config):
    theirs = {name: tuple(value.shape) for name, value in monai_net(config).state_dict().items()}
    assert list(theirs.items()) == list(array_shapes(config).items())
    with torch.device("meta"):
        ours = BasicUNet(config).state_dict()
    assert {name: tuple(value.shape) for name, value in ours.items()} == theirs


@pytest.mark.parametrize("shape", [(16, 32, 48), (48, 16, 32)])
def test_numbers_are_those_of_monai(shape):
    net, theirs = random_net(), monai_net()
    theirs.load_state_dict(net.state_dict())
    image = torch.rand((2, 1, *shape), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found, expected = net(image), theirs(image)
    assert found.shape == (2, 4, *shape)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_gradients_are_those_of_monai():
    net, theirs = random_net(), monai_net()
    theirs.load_state_dict(net.state_dict())
    image = torch.rand((1, 1, 16, 16, 32), generator=torch.Generator().manual_seed(2))
    for module in (net, theirs):
        module.requires_grad_(True)
        module(image).square().mean().backward()
    for (name, ours), other in zip(net.named_parameters(), theirs.parameters(), strict=True):
        assert (ours.grad - other.grad).abs().max() < 1e-5, name
    assert net.final_conv.weight.grad.abs().max() > 0.01


def test_any_number_of_levels():
    config = BasicUNetConfig(out_channels=3, features=(4, 6, 8, 4))
    assert (config.levels, config.halvings) == (3, 2)
    net = random_net(config)
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == array_shapes(config)
    assert net(torch.rand(1, 1, 4, 8, 12)).shape == (1, 3, 4, 8, 12)


@pytest.mark.parametrize("features", [(4, 4), (4, 0, 4), (4, 6, 7, 4)])
def test_refuses_widths_that_cannot_be(features):
    with pytest.raises(ModelError, match="features: found .*; expected positive numbers, three at least, even ones"):
        BasicUNetConfig(features=features)
