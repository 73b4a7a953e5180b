"""Doubling beside a skip: torch's function, and its gradient, by a quicker way."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from synthseg_core.networks import doubling
from synthseg_core.networks.doubling import doubled_beside

LAST = torch.channels_last_3d


def maps(channels, shape, dtype=torch.float32, seed=0):
    values = torch.randn(2, channels, *shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return values.contiguous(memory_format=LAST).requires_grad_()


def plain(skip, x):
    return torch.cat([skip, functional.interpolate(x, scale_factor=2, mode="nearest")], dim=1)


def both(function, skip, x):
    """Answer, and gradients of a weighted sum of it."""
    answer = function(skip, x)
    weight = torch.randn(answer.shape, generator=torch.Generator().manual_seed(9)).to(answer.dtype)
    return answer, *torch.autograd.grad(answer, (skip, x), weight)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 0), (torch.float32, 3e-6), (torch.bfloat16, 0.07)])
def test_answer_and_gradient_are_those_of_torch(dtype, atol):
    skip, x = maps(3, (4, 6, 10), dtype), maps(5, (2, 3, 5), dtype, seed=1)
    ours, theirs = both(doubled_beside, skip, x), both(plain, skip, x)
    assert torch.equal(ours[0], theirs[0])
    assert ours[0].is_contiguous(memory_format=LAST)
    assert torch.equal(ours[1], theirs[1])
    assert ours[2].dtype == dtype
    torch.testing.assert_close(ours[2], theirs[2], rtol=1e-12 if atol == 0 else 0.01, atol=atol)


def test_the_gradient_is_checked_by_differences():
    skip, x = maps(1, (2, 4, 2), torch.float64), maps(2, (1, 2, 1), torch.float64)
    assert torch.autograd.gradcheck(doubled_beside, (skip, x))


def test_the_quick_way_is_taken_in_training_and_only_there(monkeypatch):
    taken = []
    monkeypatch.setattr(doubling._DoubledBeside, "apply", lambda skip, x: taken.append(1) or plain(skip, x))
    skip, x = maps(3, (4, 6, 10)), maps(5, (2, 3, 5))
    doubled_beside(skip, x)
    assert len(taken) == 1
    with torch.no_grad():
        doubled_beside(skip, x)
    doubled_beside(skip.detach().contiguous().requires_grad_(), x)
    doubled_beside(skip.bfloat16(), x)
    assert len(taken) == 1


def test_without_a_skip_maps_are_doubled_alone():
    x = maps(2, (2, 3, 1))
    torch.testing.assert_close(doubled_beside(None, x), functional.interpolate(x, scale_factor=2, mode="nearest"))
