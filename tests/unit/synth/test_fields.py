"""Smooth fields: resizing, velocity fields and their flow."""

from __future__ import annotations

import math

import pytest
import torch

from synthseg_core.synth.fields import integrate_velocity, resize_nearest


def test_resize_of_labels_takes_the_nearest():
    x = torch.tensor([7, 8, 9], dtype=torch.uint8).reshape(1, 1, 3)
    assert resize_nearest(x, (1, 1, 6)).flatten().tolist() == [7, 7, 8, 9, 9, 9]  # halves go to the even neighbour


def test_g7_constant_velocity():
    """G7: velocity 2 becomes displacement 2."""
    velocity = torch.zeros(3, 12, 10, 14)
    velocity[1] = 2
    moved = integrate_velocity(velocity)
    torch.testing.assert_close(moved[1], torch.full_like(moved[1], 2), atol=1e-6, rtol=0)
    assert moved[[0, 2]].abs().max() == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_g7_linear_velocity(axis):
    """G7: velocity 0.02 x becomes (e ** 0.02 - 1) x inside the volume."""
    n = 41
    x = torch.arange(n, dtype=torch.float32) - 20
    shape = [1, 1, 1]
    shape[axis] = n
    velocity = torch.zeros(3, *(n if a == axis else 7 for a in range(3)))
    velocity[axis] = 0.02 * x.reshape(shape)
    moved = integrate_velocity(velocity)[axis].movedim(axis, 0)[:, 3, 3]
    expected = (math.exp(0.02) - 1) * x
    inside = (x.abs() > 0) & (x.abs() < 18)
    assert ((moved - expected).abs() / expected.abs())[inside].max() < 1e-4


@pytest.mark.parametrize("shape", [(6, 7, 8), (5, 7, 9)], ids=["even", "odd number of points"])
def test_the_number_of_threads_does_not_change_a_bit(shape):
    velocity = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(integrate_velocity(velocity))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
