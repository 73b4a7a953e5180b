"""The quality regressor: layers by hand, and slab-wise inference against the plain forward pass."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.nn import functional

from synthseg_core.networks import regressor_inference, slabs
from synthseg_core.networks.config import NetworkSpec, RegressorConfig
from synthseg_core.networks.regressor import Regressor, block_means
from synthseg_core.networks.regressor_inference import RegressorRunner
from tests.phantoms.models import random_arrays


def _net(config: RegressorConfig, seed: int = 0) -> Regressor:
    net = Regressor(config).eval()
    arrays = random_arrays(NetworkSpec("regressor", "qc", config), seed)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=False)
    if seed % 2:  # some channels turned around: a maximum before the norm is a minimum after it
        for part in net.modules():
            if isinstance(part, torch.nn.BatchNorm3d):
                part.weight.data[::2] *= -1
    return net


def _groups(shape, count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(count, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def _forward(net: Regressor, groups: torch.Tensor) -> torch.Tensor:
    hot = functional.one_hot(groups.long(), net.config.in_channels).permute(3, 0, 1, 2)[None].float()
    with torch.inference_mode():
        return net(hot)[0]


def test_one_level_by_hand():
    """Order of rectification, norm and pooling as in the specification."""
    net = _net(RegressorConfig(2, 3, features=2, levels=1, kernel_size=3))
    x = torch.rand(1, 2, 4, 6, 8)
    block = net.down[0]

    def conv(part, value):
        return functional.conv3d(value, part.weight, part.bias, padding=1)

    with torch.inference_mode():
        straight = conv(block.conv1, conv(block.conv0, x).clamp(min=0))
        joined = (conv(block.shortcut, x).clamp(min=0) + straight).clamp(min=0)
        scale = block.norm.weight / torch.sqrt(block.norm.running_var + 1e-3)
        shape = (1, -1, 1, 1, 1)
        normed = (joined - block.norm.running_mean.view(shape)) * scale.view(shape) + block.norm.bias.view(shape)
        y = functional.max_pool3d(normed, 2)
        for final in net.final:
            y = conv(final, y).clamp(min=0)
        np.testing.assert_allclose(net(x), y.mean(dim=(2, 3, 4)), atol=1e-5)


@given(
    sizes=st.tuples(st.integers(2, 4), st.integers(1, 4), st.integers(1, 3)),
    kernel=st.sampled_from([1, 3, 5]),
    levels=st.integers(1, 3),
    multiples=st.tuples(*[st.integers(1, 3)] * 3),
    slab_kib=st.integers(0, 30),
)
@settings(deadline=None, max_examples=40)
def test_slabs_give_the_answer_of_the_module(sizes, kernel, levels, multiples, slab_kib):
    into, out, features = sizes
    net = _net(RegressorConfig(into, out, features, levels, kernel), seed=sum(sizes))
    groups = _groups([n * 2**levels for n in multiples], into)
    expected = _forward(net, groups)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            regressor_inference,
            "slab_rows",
            lambda channels, shape, _: slabs.slab_rows(channels, shape, 1024 * slab_kib),
        )
        found = RegressorRunner(net).run(groups)
    assert found.shape == (out,)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, atol=2e-5 * max(1.0, float(expected.abs().max())))


def test_means_of_blocks_are_those_of_average_pooling():
    x = torch.randn(2, 3, 8, 12, 4, generator=torch.Generator().manual_seed(0))
    for memory in (torch.contiguous_format, torch.channels_last_3d):
        found = block_means(x.contiguous(memory_format=memory), 4)
        torch.testing.assert_close(found, torch.nn.functional.avg_pool3d(x, 4))
