"""The networks of nnU-Net: names and shapes of their arrays, and a block worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from synthseg_core.errors import ModelError
from synthseg_core.networks.arrays import array_shapes, parameter_count
from synthseg_core.networks.config import NnUNetConfig
from synthseg_core.networks.nnunet import NnUNet
from tests.phantoms.nnunet import PLAIN, RESIDUAL

PUBLISHED = NnUNetConfig(
    out_channels=18,
    features=(32, 64, 128, 256, 320, 320, 320),
    kernels=((3, 3, 3),) * 7,
    strides=((1, 1, 1), *((2, 2, 2),) * 5, (2, 2, 1)),
    blocks=(1, 3, 4, 6, 6, 6, 6),
    decoder_convolutions=(1,) * 6,
)


@pytest.mark.parametrize("config", [RESIDUAL, PLAIN, replace(RESIDUAL, bias=False), replace(PLAIN, bias=False)])
def test_names_and_shapes_are_those_of_the_module(config):
    found = {name: tuple(value.shape) for name, value in NnUNet(config).state_dict().items()}
    assert found == array_shapes(config)


def test_names_of_checkpoints():
    """As a published state dict has them, each layer once."""
    names = array_shapes(RESIDUAL)
    assert "encoder.stem.convs.0.conv.weight" in names
    assert names["encoder.stages.1.blocks.0.skip.1.conv.weight"] == (6, 4, 1, 1, 1)  # after a pool
    assert "encoder.stages.1.blocks.0.skip.1.conv.bias" not in names
    assert not any(".blocks.1.skip" in name or "stages.2.blocks.0.skip" in name for name in names)  # no wider
    assert names["decoder.transpconvs.0.weight"] == (6, 6, 2, 2, 1)
    assert names["decoder.seg_layers.1.weight"] == (4, 4, 1, 1, 1)
    assert "encoder.stages.0.0.convs.1.norm.bias" in array_shapes(PLAIN)


def test_size_of_the_published_network():
    """270 MiB in half precision, as a port of SIAM states."""
    assert parameter_count(PUBLISHED) * 2 / 2**20 == pytest.approx(270, abs=1)
    assert PUBLISHED.multiple_voxels == (64, 64, 32)


def test_a_residual_block_by_hand():
    """Pool, widen, norm and add, before the last activation."""
    net = NnUNet(RESIDUAL).eval()
    block = net.encoder.stages[1].blocks[0]
    x = torch.randn(1, 4, 3, 6, 8, generator=torch.Generator().manual_seed(1))

    def norm(values):
        return functional.instance_norm(values, eps=1e-5)

    with torch.inference_mode():
        conv1, conv2, skip = block.conv1.conv, block.conv2.conv, block.skip[1].conv
        y = functional.leaky_relu(norm(functional.conv3d(x, conv1.weight, conv1.bias, (1, 2, 2), 1)), 0.01)
        y = norm(functional.conv3d(y, conv2.weight, conv2.bias, 1, 1))
        expected = functional.leaky_relu(
            y + norm(functional.conv3d(functional.avg_pool3d(x, (1, 2, 2)), skip.weight)), 0.01
        )
        np.testing.assert_allclose(block(x), expected, atol=2e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": (1, 2)}, "as many of each"),
        ({"features": (4, 0, 6)}, "numbers below 1"),
        ({"kernels": ((2, 3, 3), (3, 3, 3), (3, 3, 3))}, "odd edges"),
        ({"strides": ((2, 1, 1), (1, 2, 2), (2, 2, 1))}, "1 along every axis"),
        ({"encoder": "dense"}, "residual or plain"),
    ],
)
def test_shapes_that_contradict_themselves(change, message):
    with pytest.raises(ModelError, match=message):
        replace(RESIDUAL, **change)
