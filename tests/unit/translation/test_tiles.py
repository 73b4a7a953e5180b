"""Tiles: an identity leaves no seams, whatever the sizes; a translation of each tile is blended."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.errors import UsageError
from synthseg_core.translation.tiles import padded_shape, tile_starts, translate_image


@st.composite
def layouts(draw):
    """Height, width, channels, tile, overlap."""
    tile = draw(st.integers(1, 13))
    sizes = st.integers(1, 40)
    return draw(sizes), draw(sizes), draw(st.sampled_from((1, 3))), tile, draw(st.integers(0, tile - 1))


@settings(deadline=None)
@given(layouts(), st.integers(0, 1000))
def test_identity_is_exact(layout, seed):
    height, width, channels, tile, overlap = layout
    rng = np.random.default_rng(seed)
    image = (rng.normal(0, 1, (channels, height, width)) * 10.0 ** rng.integers(-30, 30)).astype(np.float32)
    out = translate_image(image, lambda tiles, corners: tiles[:, channels // 2], tile, overlap)
    assert out.dtype == np.float32
    assert out.tobytes() == image[channels // 2].tobytes()


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 30), st.data())
def test_tiles_cover_an_axis_and_share_enough(length, tile, data):
    overlap = data.draw(st.integers(0, tile - 1))
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] + tile == max(length, tile)
    assert all(0 < step <= tile - overlap for step in np.diff(starts))


def test_corners_say_where_tiles_lie_in_the_padded_image():
    image = np.random.default_rng(0).normal(size=(1, 5, 30)).astype(np.float32)
    assert padded_shape((5, 30), 8) == (8, 30)
    padded = np.pad(image, [(0, 0), (0, 3), (0, 0)], mode="edge")
    seen = []

    def keep(tiles, corners):
        seen.extend(zip(tiles, corners, strict=True))
        return tiles[:, 0]

    translate_image(image, keep, 8, 2)
    assert len(seen) == 5
    for tile, (row, column) in seen:
        np.testing.assert_array_equal(tile, padded[:, row : row + 8, column : column + 8])


def test_tiles_that_differ_are_blended_smoothly():
    """Two tiles, one answered with 0 and one with 1: between them the answer rises without a jump."""
    image = np.zeros((1, 16, 24), np.float32)
    out = translate_image(image, lambda tiles, corners: tiles[:, 0] + (corners[:, 1] > 0)[:, None, None], 16, 8)
    rise = np.diff(out[0])
    assert (out[:, :8] == 0).all()
    assert (out[:, 16:] == 1).all()
    assert rise.min() >= 0
    assert rise.max() < 0.25
    np.testing.assert_array_equal(out, np.broadcast_to(out[0], out.shape))


def test_overlap_as_large_as_a_tile_is_refused():
    with pytest.raises(UsageError, match="found 4; expected 0 to 3"):
        translate_image(np.zeros((1, 8, 8), np.float32), lambda tiles, corners: tiles[:, 0], 4, 4)
