"""Inference in slabs against the plain forward pass of the module, for any shape of network, image and slab."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
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
            if isinstance(part, torch.nn.BatchNorm3d | torch.nn.GroupNorm):
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
    levels, features = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    norm = draw(st.sampled_from(["batch", "group"]))
    wider = st.tuples(*[st.integers(1, 6)] * (levels - 1)).map(lambda widths: (features, *widths))
    return UNetConfig(
        in_channels=draw(st.integers(1, 3)),
        out_channels=draw(st.integers(1, 5)),
        features=features,
        levels=levels,
        kernel_size=draw(st.sampled_from([1, 3, 3, 5])),
        skips=draw(st.none() | st.sets(st.integers(0, levels - 2)).map(lambda steps: tuple(sorted(steps)))),
        widths=draw(st.none() | wider),
        norm=norm,
        activation=draw(st.sampled_from(["elu", "leaky_relu"])),
        residual=norm == "group" and draw(st.booleans()),
        folding=draw(st.sampled_from([1, 2])) if norm == "group" else 1,
    )


@given(
    config=configs(), multiples=st.tuples(*[st.integers(1, 3)] * 3), slab_kib=st.integers(0, 40), seed=st.integers(0, 9)
)
@relaxed
def test_slabs_give_the_answer_of_the_module(config, multiples, slab_kib, seed):
    least = 2 if config.norm == "group" else 1  # a channel of one voxel has no variance
    shape = [max(n, least) * 2**config.halvings for n in multiples]
    net, image = _net(config, seed), _image(config.in_channels, *shape, seed=seed)
    _require_answer_of_module(net, image, 1024 * slab_kib)


def _require_answer_of_module(net: UNet, image: torch.Tensor, slab_bytes: int) -> None:
    exact = _forward(copy.deepcopy(net).double(), image.double())
    rounding = float((_forward(net, image) - exact).abs().max())  # more with norms of channels that hardly vary
    found, spans = _by_slabs(net, image, slab_bytes)
    assert [row for start, stop in spans for row in range(start, stop)] == list(range(image.shape[1]))
    np.testing.assert_allclose(found, exact, atol=2e-5 + 4 * rounding)


GROUP = UNetConfig(1, 5, features=4, levels=3, norm="group", activation="leaky_relu", residual=True)


@pytest.mark.parametrize("brighter", [1.0, 100.0])
def test_group_norm_sees_the_whole_volume_whatever_the_slab(brighter):
    """Rows that differ in brightness along the first axis: statistics of a slab alone would be others."""
    net = _net(GROUP, 3)
    image = _image(1, 40, 12, 20) + torch.linspace(0, brighter, 40)[None, :, None, None]
    expected = _forward(net, image)
    for slab_bytes in (1, 60_000, slabs.SLAB_BYTES):
        found, _ = _by_slabs(net, image, slab_bytes)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    half = _forward(net, image[:, :20])
    assert (half[:, :8] - expected[:, :8]).abs().max() > 0.01


def test_group_norm_keeps_two_maps_of_the_finest_level():
    """Beside the posteriors: the skip, and one map that both convolutions of the last block are written into."""
    config = UNetConfig(1, 2, features=16, levels=2, norm="group", activation="leaky_relu", residual=True)
    runner, image = UNetRunner(_net(config, 1), slab_bytes=1), _image(1, 128, 16, 24)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        runner.run(image, lambda start, stop, posteriors: None)
    changes = [event.nbytes() for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    finest = 4 * config.features * image.numel()
    assert 2 * finest < max(itertools.accumulate(changes)) < 3 * finest


@pytest.mark.parametrize("slab_bytes", [1, 60_000, slabs.SLAB_BYTES])
def test_folding_hands_on_rows_of_voxels(slab_bytes):
    _require_answer_of_module(_net(replace(GROUP, folding=2), 3), _image(1, 16, 24, 32), slab_bytes)


def test_folding_holds_no_logits_but_of_a_few_rows():
    """A hundred classes: logits of all rows would be thirty times what features take."""
    config = replace(GROUP, out_channels=100, folding=2)
    runner, image = UNetRunner(_net(config, 1), slab_bytes=100_000), _image(1, 64, 32, 32)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        runner.run(image, lambda start, stop, posteriors: None)
    changes = [event.nbytes() for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    assert max(itertools.accumulate(changes)) < 4 * config.finest_maps * image.numel() + 4 * 100 * image.numel() / 4


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
