"""The blur of posteriors against a dense 3x3x3 convolution, in one piece and row by row."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.nn import functional

from synthseg_core.segmentation.blur import RowBlur, blur_in_place, taps

relaxed = settings(deadline=None, max_examples=40)


def _dense(volume: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur each channel with the whole kernel, exp(-d^2 / (2 sigma^2)) on {-1, 0, 1}^3, sum one, zeros outside."""
    d = torch.arange(-1.0, 2.0, dtype=torch.float64) ** 2
    kernel = torch.exp(-(d[:, None, None] + d[:, None] + d) / (2 * sigma**2))
    kernel /= kernel.sum()
    return functional.conv3d(volume.double()[:, None], kernel[None, None], padding=1)[:, 0].float()


def _volume(shape, seed=0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_taps_of_the_reference():
    """Constants of the specification: centre, face, edge and corner of the kernel for sigma 0.5."""
    centre, side = taps(0.5)
    found = [centre**3, centre**2 * side, centre * side**2, side**3]
    np.testing.assert_allclose(found, [0.48741752, 0.06596477, 0.00892736, 0.00120819], atol=5e-9)
    assert centre + 2 * side == pytest.approx(1, abs=1e-15)


def test_impulse_shows_the_kernel():
    volume = torch.zeros(2, 5, 6, 7)
    volume[1, 2, 3, 4] = 1
    blur_in_place(volume, 0.5)
    centre, side = taps(0.5)
    axis = np.array([side, centre, side])
    np.testing.assert_allclose(volume[1, 1:4, 2:5, 3:6], np.einsum("i,j,k->ijk", axis, axis, axis), atol=1e-7)
    assert volume[0].abs().max() == 0
    assert volume[1].sum() == pytest.approx(1, abs=1e-6)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 7), st.integers(1, 9)),
    rows=st.integers(1, 13),
    sigma=st.floats(0.2, 2.0),
)
@relaxed
def test_equals_a_dense_convolution_for_any_slabs(shape, rows, sigma):
    volume = _volume(shape)
    expected = _dense(volume, sigma)
    blur_in_place(volume, sigma, rows)
    np.testing.assert_allclose(volume, expected, atol=5e-7)


@given(cuts=st.sets(st.integers(1, 10)), total=st.just(11))
@relaxed
def test_rows_come_once_and_in_order_whatever_the_slabs(cuts, total):
    volume, received = _volume((2, total, 4, 5)), []
    blur = RowBlur(0.5, total, lambda start, stop, rows: received.append((start, stop, rows.clone())))
    edges = [0, *sorted(cuts), total]
    for start, stop in itertools.pairwise(edges):
        blur(start, stop, volume[:, start:stop])
    spans = [(start, stop) for start, stop, _ in received]
    assert [row for start, stop in spans for row in range(start, stop)] == list(range(total))
    whole = volume.clone()
    blur_in_place(whole, 0.5, total)
    np.testing.assert_array_equal(torch.cat([rows for *_, rows in received], dim=1), whole)


def test_mass_is_lost_at_the_border():
    """Zero padding without renormalising: 0.893 of the mass stays on a face, 0.798 on an edge, 0.713 in a corner."""
    volume = torch.ones(1, 6, 7, 8)
    blur_in_place(volume, 0.5)
    kept = 1 - taps(0.5)[1]
    assert kept**3 == pytest.approx(0.713, abs=5e-4)
    found = [volume[0, i, j, k].item() for i, j, k in ((3, 3, 3), (0, 3, 3), (0, 0, 3), (5, 6, 7), (0, 6, 0))]
    np.testing.assert_allclose(found, [1, kept, kept**2, kept**3, kept**3], atol=1e-6)


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 4, 16])
def test_mirrors_bit_for_bit(axis, rows):
    volume = _volume((3, 19, 23, 17))
    mirrored = volume.flip(axis)
    blur_in_place(volume, 0.5, rows)
    blur_in_place(mirrored, 0.5, rows)
    assert torch.equal(mirrored, volume.flip(axis))


def test_slab_heights_do_not_change_a_bit():
    results = []
    for rows in (1, 2, 5, 16, 64):
        volume = _volume((2, 21, 9, 11))
        blur_in_place(volume, 0.5, rows)
        results.append(volume)
    assert all(torch.equal(result, results[0]) for result in results)
