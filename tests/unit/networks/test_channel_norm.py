"""Group norm of single channels: the function of torch's module, bit for bit, and its gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from synthseg_core.networks.channel_norm import ChannelNorm3d

SHAPES = [(1, 3, 4, 5, 6), (3, 2, 5, 3, 4)]
FORMATS = [torch.contiguous_format, torch.channels_last_3d]


def _both(channels: int, dtype=torch.float32) -> tuple[nn.GroupNorm, ChannelNorm3d]:
    """Return torch's module and ours with the same weights."""
    theirs, ours = nn.GroupNorm(channels, channels), ChannelNorm3d(channels)
    for norm in (theirs, ours):
        nn.init.uniform_(norm.weight, 0.5, 2.0, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(norm.bias, -1.0, 1.0, generator=torch.Generator().manual_seed(2))
    return theirs.to(dtype), ours.to(dtype)


def _gradients(norm: nn.Module, x: torch.Tensor, upstream: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    norm(x).backward(upstream)
    assert x.grad is not None
    return [x.grad, *(parameter.grad for parameter in norm.parameters())]  # type: ignore[list-item]


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_small_differences(shape):
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    _, norm = _both(shape[1], torch.float64)
    assert torch.autograd.gradcheck(norm, (x,))


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_answers_are_torchs_to_the_bit_and_gradients_to_rounding(shape, layout, dtype):
    source = torch.Generator().manual_seed(0)
    x, upstream = (torch.randn(shape, generator=source).to(dtype).contiguous(memory_format=layout) for _ in range(2))
    theirs, ours = _both(shape[1])
    assert torch.equal(theirs(x), ours(x.clone().requires_grad_()))
    for expected, found in zip(_gradients(theirs, x, upstream), _gradients(ours, x, upstream), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5 if dtype == torch.float32 else 0.02, rtol=1e-5)


def test_a_large_map_loses_no_more_than_with_torchs_module():
    """Sums of half a million float32 values whose mean is far from zero."""
    source = torch.Generator().manual_seed(0)
    x, upstream = (torch.randn((1, 2, 72, 88, 72), generator=source) + shift for shift in (5, 0.1))
    x, upstream = (t.contiguous(memory_format=torch.channels_last_3d) for t in (x, upstream))
    exact = _gradients(_both(2, torch.float64)[0], x.double(), upstream.double())
    theirs, ours = (
        [(found - true).abs().max() for found, true in zip(_gradients(norm, x, upstream), exact, strict=True)]
        for norm in _both(2)
    )
    assert ours[0] <= 1.5 * theirs[0]
    # How sums of half a million values are cut among threads decides about their rounding, in torch's module, too.
    normed = nn.functional.instance_norm(x.double())
    for own, terms in zip(ours[1:], (normed * upstream, upstream), strict=True):
        assert own <= 1e-5 * terms.abs().sum(dim=(0, 2, 3, 4)).min()


def test_only_what_is_asked_for_gets_a_gradient():
    _, norm = _both(2)
    norm.weight.requires_grad_(False)
    x = torch.randn(1, 2, 3, 4, 5)
    norm(x).sum().backward()
    assert norm.weight.grad is None
    torch.testing.assert_close(norm.bias.grad, torch.full((2,), 60.0))


def test_weights_have_the_names_of_torchs_module():
    assert [name for name, _ in ChannelNorm3d(3).named_parameters()] == ["weight", "bias"]
