"""Inference in slabs against the plain forward pass of the module, for any shape of network, image and slab."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import given, settings

from synthseg_core.networks import slabs
from synthseg_core.networks.config import NetworkSpec, UNetConfig
from synthseg_core.networks.unet import UNet
from synthseg_core.networks.unet_inference import UNetRunner
from tests.phantoms.models import random_arrays

relaxed = settings(deadline=None, max_examples=40)


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


@st.composite
def configs(draw) -> UNetConfig:
    levels = draw(st.integers(2, 4))
    return UNetConfig(
        in_channels=draw(st.integers(1, 3)),
        out_channels=draw(st.integers(1, 5)),
        features=draw(st.integers(1, 4)),
        levels=levels,
        kernel_size=draw(st.sampled_from([1, 3, 3, 5])),
        skips=draw(st.none() | st.sets(st.integers(0, levels - 2)).map(lambda steps: tuple(sorted(steps)))),
    )


@given(
    config=configs(), multiples=st.tuples(*[st.integers(1, 3)] * 3), slab_kib=st.integers(0, 40), seed=st.integers(0, 9)
)
@relaxed
def test_slabs_give_the_answer_of_the_module(config, multiples, slab_kib, seed):
    shape = [n * 2 ** (config.levels - 1) for n in multiples]
    net, image = _net(config, seed), _image(config.in_channels, *shape, seed=seed)
    expected = _forward(net, image)
    found, spans = _by_slabs(net, image, 1024 * slab_kib)
    assert [row for start, stop in spans for row in range(start, stop)] == list(range(shape[0]))
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_posteriors_sum_to_one_and_are_float32():
    net = _net(UNetConfig(1, 4, features=2, levels=3), 1)
    found, _ = _by_slabs(net, _image(1, 8, 12, 16))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.sum(dim=0), 1, atol=1e-6)


def test_same_image_same_bits():
    net = _net(UNetConfig(1, 4, features=4, levels=3), 1)
    image = _image(1, 16, 24, 8)
    assert torch.equal(_by_slabs(net, image)[0], _by_slabs(net, image)[0])


def test_image_is_left_alone_and_may_be_a_view():
    net, image = _net(UNetConfig(2, 3, features=2, levels=2), 1), _image(2, 8, 6, 10)
    before = image.clone()
    expected = _forward(net, image.flip(1))
    found, _ = _by_slabs(net, torch.from_numpy(image.numpy()[:, ::-1].copy()))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert torch.equal(image, before)


def test_double_images_are_computed_in_float32():
    net, image = _net(UNetConfig(1, 3, features=2, levels=2), 1), _image(1, 4, 6, 8)
    assert torch.equal(_by_slabs(net, image.double())[0], _by_slabs(net, image)[0])


def test_runner_needs_no_gradient_and_sets_evaluation_mode():
    net = _net(UNetConfig(1, 3, features=2, levels=2), 1).train()
    runner = UNetRunner(net)
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert runner.device == torch.device("cpu")
