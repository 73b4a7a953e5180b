"""Kernels merged for nearest-neighbour upsampling against the plain way: interpolate, then convolve."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.nn import functional

from synthseg_core.networks.slabs import padded_rows
from synthseg_core.networks.upsampling import PARITIES, add_upsampled_convolution, merge_kernel


def _random(*shape, seed=0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _plain(coarse: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    fine = functional.interpolate(coarse, scale_factor=2, mode="nearest")
    return functional.conv3d(fine, weight, padding=weight.shape[-1] // 2)


def _merged(coarse: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    kernel = merge_kernel(weight)
    after = kernel.weight.shape[-1] - 1 - kernel.before + kernel.shift
    rows = padded_rows(coarse, -kernel.before, coarse.shape[2] + after)
    fine = torch.zeros(1, weight.shape[0], *(2 * n for n in coarse.shape[2:]))
    with torch.inference_mode():
        add_upsampled_convolution(fine, rows, kernel)
    return fine


@pytest.mark.parametrize("edge", [1, 3, 5, 7])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 1, 1), (2, 1, 6)])
def test_equals_interpolation_and_convolution(edge, shape):
    coarse, weight = _random(1, 3, *shape), _random(4, 3, edge, edge, edge, seed=1)
    expected = _plain(coarse, weight)
    np.testing.assert_allclose(_merged(coarse, weight), expected, atol=2e-6 * float(expected.abs().max()))


@given(
    edge=st.sampled_from([1, 3, 5, 7]),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_equals_interpolation_and_convolution_for_any_shape(edge, channels, shape, seed):
    into, out = channels
    coarse, weight = _random(1, into, *shape, seed=seed), _random(out, into, edge, edge, edge, seed=seed + 1)
    expected = _plain(coarse, weight)
    np.testing.assert_allclose(_merged(coarse, weight), expected, atol=3e-6 * max(1, float(expected.abs().max())))


@pytest.mark.parametrize(("edge", "width", "before", "shift"), [(1, 1, 0, 0), (3, 2, 1, 1), (5, 3, 1, 0), (7, 4, 2, 1)])
def test_windows_by_hand(edge, width, before, shift):
    kernel = merge_kernel(torch.ones(2, 3, edge, edge, edge))
    assert kernel.weight.shape == (16, 3, width, width, width)
    assert (kernel.before, kernel.shift) == (before, shift)


def test_taps_of_one_axis_by_hand():
    """For k = 3 an even position reads (coarse - 1: tap 0; coarse: taps 1, 2), an odd one (taps 0, 1; then tap 2)."""
    weight = torch.zeros(1, 1, 3, 3, 3)
    weight[0, 0, :, 1, 1] = torch.tensor([1.0, 10.0, 100.0])
    merged = merge_kernel(weight).weight
    assert merged[PARITIES.index((0, 0, 0))].sum(dim=(0, 2, 3)).tolist() == [1, 110]
    assert merged[PARITIES.index((1, 0, 0))].sum(dim=(0, 2, 3)).tolist() == [11, 100]


def test_no_tap_is_lost():
    weight = _random(2, 3, 5, 5, 5)
    merged = merge_kernel(weight).weight.view(8, 2, 3, -1).sum(-1)
    np.testing.assert_allclose(merged, weight.sum(dim=(2, 3, 4)).expand(8, 2, 3), atol=1e-5)


def test_adds_to_what_is_there():
    coarse, weight = _random(1, 2, 2, 2, 2), _random(3, 2, 3, 3, 3)
    kernel = merge_kernel(weight)
    fine = _random(1, 3, 4, 4, 4, seed=5)
    before = fine.clone()
    with torch.inference_mode():
        add_upsampled_convolution(fine, padded_rows(coarse, -1, 3), kernel)
    np.testing.assert_allclose(fine - before, _plain(coarse, weight), atol=1e-5)
