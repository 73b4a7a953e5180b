"""Pictures: what is read and what is refused, 8 bits, sizes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthseg_core.errors import InputError, UsageError
from synthseg_core.translation.pictures import (
    grey8,
    picture_bytes,
    picture_shape,
    read_label_picture,
    read_picture,
    resized,
    rounded,
    to_8_bits,
)
from tests.phantoms.pictures import cells, save

CELLS, LABELS = cells()
DEEP = CELLS.astype(np.uint16) * 100 + 7


@pytest.mark.parametrize(
    ("name", "picture", "options"),
    [
        ("a.png", CELLS, {}),
        ("a.tif", CELLS, {}),
        ("a.tiff", CELLS, {"compression": "tiff_lzw"}),
        ("deep.png", DEEP, {}),
        ("deep.tif", DEEP, {}),
        ("real.tif", CELLS.astype(np.float32) / 7, {}),
        ("grey_in_colours.png", np.stack([CELLS] * 3, axis=-1), {}),
    ],
)
def test_grey_values_come_as_they_are(tmp_path, name, picture, options):
    path = save(tmp_path / name, picture, **options)
    read = read_picture(path)
    expected = picture if picture.ndim == 2 else picture[..., 0]
    assert read.dtype.kind == expected.dtype.kind
    np.testing.assert_array_equal(read, expected)
    assert picture_shape(path) == CELLS.shape


def test_big_endian_tiff(tmp_path):
    Image.frombytes("I;16B", DEEP.shape[::-1], DEEP.astype(">u2").tobytes()).save(tmp_path / "big.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "big.tif"), DEEP)


def _coloured():
    return np.stack([CELLS, CELLS, 255 - CELLS], axis=-1)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (_coloured(), "found a picture in colours; expected shades of grey; convert the picture to grey"),
        (np.dstack([np.stack([CELLS] * 3, axis=-1), CELLS]), "transparent in parts"),
        (np.full((20, 20), 9, np.uint8), "found 9 in every pixel"),
        (LABELS * 127, "few different whole numbers in regions, as in a label map"),
        ((LABELS > 0), "as in a label map"),
    ],
    ids=["colours", "transparent", "blank", "labels", "bilevel"],
)
def test_what_is_no_picture_is_refused(tmp_path, picture, message):
    with pytest.raises(InputError, match=message) as error:
        read_picture(save(tmp_path / "x.png", picture))
    assert str(error.value).startswith(str(tmp_path / "x.png"))


def test_other_kinds_of_files(tmp_path):
    Image.fromarray(_coloured()).convert("CMYK").save(tmp_path / "ink.tif")
    with pytest.raises(InputError, match=r"colours \(CMYK\)"):
        read_picture(tmp_path / "ink.tif")
    page = Image.fromarray(CELLS)
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page, page])
    with pytest.raises(InputError, match="found 3 pages; expected one"):
        read_picture(tmp_path / "pages.tif")
    whole = picture_bytes(CELLS)
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no picture")
    for name in ("cut.png", "text.png", "missing.png"):
        with pytest.raises(
            InputError, match=rf"{name}: found no readable picture \(.*\); expected PNG, or TIFF"
        ) as error:
            read_picture(tmp_path / name)
        assert "\n" not in str(error.value)


def test_a_picture_of_a_hundred_megapixels_is_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(read_picture(save(tmp_path / "a.png", CELLS)), CELLS)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_labels_are_whole_numbers(tmp_path):
    np.testing.assert_array_equal(read_label_picture(save(tmp_path / "l.png", LABELS)), LABELS)
    with pytest.raises(InputError, match="found float32 values; expected whole numbers"):
        read_label_picture(save(tmp_path / "l.tif", LABELS.astype(np.float32)))


def test_8_bits_stay_and_more_bits_are_windowed():
    same, window = grey8(CELLS)
    assert same is CELLS
    assert (window.low, window.high) == (0, 255)
    eight, window = grey8(DEEP)
    assert eight.dtype == np.uint8
    assert (eight.min(), eight.max()) == (0, 255)
    low, high = np.percentile(DEEP, (0.5, 99.5))
    assert (window.low, window.high) == (low, high)
    np.testing.assert_allclose(eight, np.clip((DEEP - low) / (high - low), 0, 1) * 255, atol=0.51)


def test_values_from_minus_1_to_1_become_the_8_bits_that_they_came_from():
    every = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(to_8_bits(every.astype(np.float32) / np.float32(127.5) - 1), every)
    assert to_8_bits(np.array([-3.0, 3.0])).tolist() == [0, 255]


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_sizes(height, width, new_height, new_width):
    flat = np.full((height, width), 77, np.uint8)
    np.testing.assert_allclose(resized(flat, (new_height, new_width)), np.full((new_height, new_width), 77), rtol=1e-6)
    picture = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    np.testing.assert_array_equal(rounded(resized(picture, (height, width))), picture)


def test_larger_pixels_keep_the_edges():
    ramp = np.broadcast_to(np.arange(12.0), (8, 12))
    np.testing.assert_allclose(
        resized(ramp, (4, 6))[:, 1:-1], np.broadcast_to(np.arange(4) * 2 + 2.5, (4, 4)), atol=1e-6
    )
    np.testing.assert_allclose(resized(ramp, (8, 24))[0, 1:-1], np.arange(22) / 2 + 0.25, atol=1e-6)


def test_without_pillow_it_is_said_what_to_install(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", CELLS)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=r"found no Pillow in this environment; .* pip install 'synthseg-bids\[transl"):
        read_picture(path)
