"""Slabs: rows, padding, and the shapes of the networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthseg_core.networks import slabs
from synthseg_core.networks.config import NetworkSpec, UNetConfig
from synthseg_core.networks.slabs import conv3d
from synthseg_core.networks.unet import UNet
from synthseg_core.networks.unet_inference import UNetRunner
from tests.phantoms.models import random_arrays


def _net(config: UNetConfig, seed: int) -> UNet:
    net = UNet(config).eval()
    arrays = random_arrays(NetworkSpec("segmenter", "unet", config), seed)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=False)
    if seed % 2:  # some channels turned around: a maximum before the norm is a minimum after it
        for part in net.modules():
            if isinstance(part, torch.nn.BatchNorm3d):
                part.weight.data[::2] *= -1
    return net


def _image(*shape, seed=0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def _forward(net: UNet, image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.softmax(net(image[None])[0], dim=0)


def _by_slabs(net: UNet, image: torch.Tensor, slab_bytes: int = slabs.SLAB_BYTES) -> tuple[torch.Tensor, list]:
    spans, parts = [], []

    def consume(start: int, stop: int, posteriors: torch.Tensor) -> None:
        spans.append((start, stop))
        parts.append(posteriors.clone())

    UNetRunner(net, slab_bytes=slab_bytes).run(image, consume)
    return torch.cat(parts, dim=1), spans


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (UNetConfig(6, 7, features=4, levels=5), (48, 16, 32)),
        (UNetConfig(5, 5, features=3, levels=5, kernel_size=5, skips=(0, 1)), (32, 48, 16)),
        (UNetConfig(1, 2, features=2, levels=3, kernel_size=7), (16, 12, 8)),
        (UNetConfig(1, 2, features=2, levels=2, skips=()), (6, 10, 2)),
    ],
)
def test_shapes_of_the_published_networks_in_small(config, shape):
    """Five levels, five-voxel kernels, only the two deepest skips, several input channels; from one slab to many."""
    net, image = _net(config, 3), _image(config.in_channels, *shape)
    expected = _forward(net, image)
    heights = set()
    for slab_bytes in (1, 300_000, slabs.SLAB_BYTES):
        found, spans = _by_slabs(net, image, slab_bytes)
        heights.add(len(spans))
        np.testing.assert_allclose(found, expected, atol=2e-5)
    assert {1, shape[0] // 2} <= heights


def test_slab_rows_are_even_and_at_least_two():
    assert slabs.slab_rows(24, (192, 256, 192), 1) == 2
    assert all(slabs.slab_rows(c, (64, 10, 10), 10**6) % 2 == 0 for c in range(1, 40))
    assert slabs.slab_rows(24, (192, 256, 192)) * 24 * 24 * 256 * 192 <= slabs.SLAB_BYTES


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (-2, 3), (3, 8), (-1, 7), (2, 4)])
def test_padded_rows(start, stop):
    x = _image(1, 2, 5, 3, 4)
    padded = torch.nn.functional.pad(x, (0, 0, 0, 0, 3, 3))
    assert torch.equal(slabs.padded_rows(x, start, stop), padded[:, :, start + 3 : stop + 3])


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_norm_of_a_channel_from_slabs(offset):
    """Slabs that differ in brightness, far from zero: the sum of squares less the squared sum would lose all digits."""
    norm = torch.nn.GroupNorm(3, 3)
    norm.weight.data, norm.bias.data = torch.tensor([[0.7, -1.3, 0.0], [1.0, -1.0, 0.5]])
    x = _image(1, 3, 11, 6, 8) * torch.linspace(0.1, 3, 11)[None, None, :, None, None] + offset
    from_slabs = slabs.ChannelNorm(norm)
    for start, stop in ((0, 1), (1, 6), (6, 11)):
        assert torch.equal(from_slabs.seen(x[:, :, start:stop]), x[:, :, start:stop])
    with torch.inference_mode():
        np.testing.assert_allclose(from_slabs.normalised(x), norm.double()(x.double()), atol=1e-5 + 1e-6 * offset)


@pytest.mark.parametrize("turned", [False, True])
def test_norm_and_pooling_in_either_order(turned):
    norm = torch.nn.BatchNorm3d(3).eval()
    norm.weight.data = torch.tensor([0.7, -1.3 if turned else 1.3, 0.0])
    norm.bias.data, norm.running_mean.data = torch.tensor([[0.1, 0.2, 0.3], [1.0, -1.0, 0.5]])
    x = _image(1, 3, 4, 6, 8) - 0.5
    with torch.inference_mode():
        expected = torch.nn.functional.max_pool3d(slabs.normalise(norm, x), 2)
        assert torch.equal(slabs.normalise_and_pool(norm, x), expected)


@pytest.mark.parametrize("padding", [(0, 0, 0), (0, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_convolution_door_is_a_convolution(padding, bias):
    x, weight = _image(1, 3, 5, 6, 7), _image(4, 3, 3, 3, 3, seed=1) - 0.5
    offset = _image(4, seed=2) if bias else None
    expected = torch.nn.functional.conv3d(x, weight, offset, padding=padding)
    with torch.inference_mode():
        np.testing.assert_allclose(conv3d(x, weight, offset, padding), expected, atol=1e-5)
        np.testing.assert_allclose(
            conv3d(x.double(), weight.double(), None if offset is None else offset.double(), padding),
            expected,
            atol=1e-5,
        )


def test_convolution_door_lets_gradients_through():
    x, weight = _image(1, 1, 4, 4, 4), torch.ones(1, 1, 3, 3, 3, requires_grad=True)
    conv3d(x, weight, None).sum().backward()
    assert weight.grad is not None
