"""Intensities: windows and their inverse, the head in several contrasts, what is a label map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.translation.contrast import Window, head_mask, is_label_map, robust_window
from tests.phantoms.scans import nested_ellipsoids

HEAD = nested_ellipsoids((30, 34, 28))


def _truth():
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in HEAD.shape], indexing="ij")
    return (axes[0] / 0.9) ** 2 + (axes[1] / 0.95) ** 2 + (axes[2] / 0.9) ** 2 < 1


@settings(deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(0.1, 1e4))
def test_a_window_can_be_undone(low, width):
    window = Window(low, low + width)
    values = np.linspace(low, low + width, 9)
    image = window.normalised(values)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, np.linspace(-1, 1, 9), atol=1e-5)
    np.testing.assert_allclose(window.undone(image), values, atol=1e-6 * (abs(low) + width) + 1e-6)
    assert window.normalised(np.array([low - 1, low + 2 * width])).tolist() == [-1, 1]


def test_outliers_do_not_widen_a_window():
    values = np.append(np.random.default_rng(0).uniform(100, 200, 10_000), [1e6] * 20)
    window = robust_window(values)
    assert 99 < window.low < 102
    assert 198 < window.high < 201
    assert robust_window(np.array([3.0] * 1000 + [5.0])) == Window(3.0, 5.0)


@pytest.mark.parametrize(
    "scan",
    [HEAD, HEAD + 1000, 300 - HEAD * (HEAD > 45), np.where(HEAD > 30, HEAD, 0), HEAD * 1e-4],
    ids=["plain", "lifted", "inverted", "skull-stripped", "small"],
)
def test_the_head_is_found_in_any_contrast_with_dark_air(scan):
    if scan[0, 0, 0] > scan[15, 17, 14]:
        scan = np.where(_truth(), scan, 0.0)
    mask, truth = head_mask(scan), _truth()
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.97


def test_the_head_of_a_ct():
    scan = np.where(_truth(), 40.0, -1000.0)
    np.testing.assert_array_equal(head_mask(scan, ct=True), _truth())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.arange(16).reshape(4, 4), True),
        (np.kron(np.arange(100).reshape(10, 10), np.ones((8, 8))), True),
        (np.random.default_rng(0).integers(0, 200, (40, 40)), False),
        (np.random.default_rng(0).normal(size=(8, 8)), False),
        (np.arange(1000).reshape(20, 50), False),
    ],
    ids=["few values", "regions", "8 bits", "fractions", "many values"],
)
def test_label_maps(data, expected):
    assert is_label_map(data) is expected
    assert is_label_map(data.astype(np.float64)) is expected
