"""The U-Net module: its shape, its layers by hand, and the names that weights files use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from synthseg_core.errors import ModelError
from synthseg_core.models.registry import load_card
from synthseg_core.networks.config import NetworkSpec, UNetConfig
from synthseg_core.networks.folding import fold
from synthseg_core.networks.unet import NORM_EPSILON, ConvBlock, UNet
from tests.phantoms.models import random_arrays

DEEP = UNetConfig(in_channels=2, out_channels=5, features=3, levels=4, kernel_size=5, skips=(0, 2))


def _net(config: UNetConfig, seed: int = 0) -> UNet:
    net = UNet(config).eval()
    arrays = random_arrays(NetworkSpec("segmenter", "unet", config), seed)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=False)
    return net


def test_published_shapes():
    """Parameter counts of the published files, running statistics included."""
    counts = {}
    for name in ("synthseg-1.0", "synthseg-2.0", "synthseg-robust-2.0"):
        with torch.device("meta"):
            nets = [UNet(spec.config) for spec in load_card(name).networks]
        values = [array for net in nets for array in net.state_dict().values() if array.ndim]
        counts[name] = sum(array.numel() for array in values)
    assert counts == {"synthseg-1.0": 13_242_824, "synthseg-2.0": 13_242_849, "synthseg-robust-2.0": 53_574_739}


def test_answer_has_one_channel_a_class_on_the_same_grid():
    with torch.inference_mode():
        logits = _net(DEEP)(torch.rand(2, 2, 8, 16, 24))
    assert logits.shape == (2, 5, 8, 16, 24)
    assert torch.isfinite(logits).all()


def test_skips_leave_before_the_batch_norm_and_come_first():
    """Two levels, written out step by step from the specification."""
    net = _net(UNetConfig(in_channels=1, out_channels=3, features=2, levels=2))
    x = torch.rand(1, 1, 4, 6, 8)

    def block(part: ConvBlock, value: torch.Tensor) -> torch.Tensor:
        for conv in (part.conv0, part.conv1):
            value = functional.conv3d(value, conv.weight, conv.bias, padding=1)
            value = torch.where(value > 0, value, torch.expm1(value))
        return value

    def norm(part: ConvBlock, value: torch.Tensor) -> torch.Tensor:
        mean, var, scale, shift = (
            t.view(1, -1, 1, 1, 1)
            for t in (part.norm.running_mean, part.norm.running_var, part.norm.weight, part.norm.bias)
        )
        return (value - mean) / torch.sqrt(var + 1e-3) * scale + shift

    with torch.inference_mode():
        skip = block(net.down[0], x)
        coarse = functional.max_pool3d(norm(net.down[0], skip), 2)
        coarse = norm(net.down[1], block(net.down[1], coarse))
        fine = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
        fine = norm(net.up[0], block(net.up[0], torch.cat([skip, fine], dim=1)))
        expected = functional.conv3d(fine, net.head.weight, net.head.bias)
        np.testing.assert_allclose(net(x), expected, atol=2e-5)


def test_only_the_chosen_steps_have_skips():
    inputs = [block.conv0.in_channels for block in UNet(DEEP).up]
    # widths 3, 6, 12, 24: steps 0 and 2 (the coarsest and the finest) read encoder features beside the level below
    assert inputs == [12 + 24, 12, 3 + 6]


def test_norms_are_those_of_keras():
    net = UNet(UNetConfig(features=2, levels=2))
    assert NORM_EPSILON == 1e-3
    assert {m.eps for m in net.modules() if isinstance(m, torch.nn.BatchNorm3d)} == {1e-3}


@pytest.mark.parametrize(
    ("changes", "subject"),
    [({"levels": 1}, "levels"), ({"kernel_size": 4}, "kernel_size"), ({"features": 0}, "features")],
)
def test_impossible_shapes_are_refused(changes, subject):
    with pytest.raises(ModelError, match=f"{subject}: found .*; expected .*; correct the model card"):
        UNetConfig(**changes)


def test_training_can_use_the_module():
    """Gradients reach every parameter; nothing in the module is tied to inference."""
    net = UNet(UNetConfig(in_channels=1, out_channels=2, features=2, levels=2)).train()
    net(torch.rand(1, 1, 8, 8, 8)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


GROUP = UNetConfig(1, 3, features=2, levels=2, norm="group", activation="leaky_relu", residual=True)


def test_group_norm_and_residual_blocks_written_out():
    """Two levels step by step: norms of the volume itself, paths beside the convolutions, skips after all of it."""
    net = _net(GROUP, 2)
    x = torch.rand(1, 1, 4, 6, 8, generator=torch.Generator().manual_seed(0))

    def norm(part: torch.nn.GroupNorm, value: torch.Tensor) -> torch.Tensor:
        mean = value.mean((2, 3, 4), keepdim=True)
        deviation = ((value - mean).square().mean((2, 3, 4), keepdim=True) + 1e-5).sqrt()
        return (value - mean) / deviation * part.weight.view(1, -1, 1, 1, 1) + part.bias.view(1, -1, 1, 1, 1)

    def leaky(value: torch.Tensor) -> torch.Tensor:
        return torch.where(value > 0, value, 0.01 * value)

    def block(part, value: torch.Tensor) -> torch.Tensor:
        first = leaky(norm(part.norm0, functional.conv3d(value, part.conv0.weight, padding=1)))
        second = norm(part.norm1, functional.conv3d(first, part.conv1.weight, padding=1))
        return leaky(second + functional.conv3d(value, part.shortcut.weight))

    with torch.inference_mode():
        skip = block(net.down[0], x)
        coarse = block(net.down[1], functional.max_pool3d(skip, 2))
        fine = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
        fine = block(net.up[0], torch.cat([skip, fine], dim=1))
        expected = functional.conv3d(fine, net.head.weight, net.head.bias)
        np.testing.assert_allclose(net(x), expected, atol=2e-5)


def test_folding_is_a_network_of_blocks_with_a_last_look_at_their_voxels():
    """The plain network on eight channels; a block that sees features and voxels; eight answers of the head."""
    config = replace(GROUP, folding=2)
    net = _net(config, 2)
    inner = UNet(replace(GROUP, in_channels=8)).eval()
    inner.head = torch.nn.Identity()
    inner.load_state_dict({name: net.state_dict()[name] for name in inner.state_dict()})
    image = torch.rand(1, 1, 8, 12, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        blocks = fold(image, 2)
        features = inner(blocks)
        seen = net.detail(torch.cat([features, blocks], dim=1))
        logits = functional.conv3d(torch.cat([features, seen], dim=1), net.head.weight, net.head.bias)
        found = net(image)
    assert found.shape == (1, 3, 8, 12, 16)
    for sub, (i, j, k) in enumerate((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)):
        np.testing.assert_allclose(found[:, :, i::2, j::2, k::2], logits[:, 3 * sub : 3 * sub + 3], atol=1e-5)


def test_widths_by_level():
    net = UNet(UNetConfig(features=3, levels=3, widths=(3, 5, 4)))
    assert [block.conv1.out_channels for block in net.down] == [3, 5, 4]
    assert [(block.conv0.in_channels, block.conv0.out_channels) for block in net.up] == [(5 + 4, 5), (3 + 5, 3)]


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"norm": "layer"}, "norm"),
        ({"activation": "relu"}, "activation"),
        ({"residual": True}, "residual"),
        ({"folding": 2}, "folding"),
        ({"folding": 3, "norm": "group"}, "folding"),
        ({"folding": 0, "norm": "group"}, "folding"),
        ({"features": 4, "levels": 2, "widths": (4, 8, 16)}, "widths"),
        ({"features": 4, "levels": 2, "widths": (8, 16)}, "widths"),
        ({"features": 4, "levels": 2, "widths": (4, 0)}, "widths"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, subject):
    with pytest.raises(ModelError, match=f"{subject}: found .*; expected .*; correct the model card"):
        UNetConfig(**changes)
