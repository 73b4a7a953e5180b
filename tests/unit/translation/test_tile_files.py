"""Files of tiles as users of the seed have them: keys and attributes, there and back, damaged ones."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.errors import InputError
from synthseg_core.translation.tile_files import Original, in_original_size, read_tiles, write_tiles
from tests.phantoms.pictures import cells, save


@pytest.fixture
def file(tmp_path):
    """Two pictures, one of them with labels, in tiles of 32 pixels."""
    originals = [Original("/data/a.png", *cells((48, 70))), Original("/data/b.png", *cells((20, 33), 1))]
    path = tmp_path / "data_SEM.hdf5"
    assert write_tiles(path, "SEM", originals, 32) == 6 + 2
    return path, originals


def test_keys_and_attributes(file):
    path, originals = file
    with h5py.File(path) as content:
        assert list(content) == ["SEM"]
        assert sorted(content["SEM/images"]) == [str(number) for number in range(8)] == sorted(content["SEM/labels"])
        corners = [tuple(content[f"SEM/images/{number}"].attrs["location"]) for number in range(8)]
        assert corners == [(0, 0), (32, 0), (38, 0), (0, 16), (32, 16), (38, 16), (0, 0), (1, 0)]
        assert content["SEM/images/5"].attrs["path_to_original"] == "/data/a.png"
        np.testing.assert_array_equal(content["SEM/images/5"], originals[0].picture[16:, 38:])
        assert content["SEM/images/6"].shape == (20, 32)


def test_pictures_are_put_together_again(file):
    path, originals = file
    for read, original in zip(read_tiles(path), originals, strict=True):
        assert read.path == original.path
        np.testing.assert_array_equal(read.picture, original.picture)
        np.testing.assert_array_equal(read.labels, original.labels)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(5, 17))
def test_any_size(tmp_path_factory, height, width, tile):
    path = tmp_path_factory.mktemp("tiles") / "x.hdf5"
    picture = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    write_tiles(path, "a", [Original("x", picture)], tile)
    (read,) = read_tiles(path, "a")
    np.testing.assert_array_equal(read.picture, picture)
    assert read.labels is None


def test_damaged_files(file, tmp_path):
    path, _ = file
    with pytest.raises(InputError, match="found the domains SEM; expected TEM"):
        list(read_tiles(path, "TEM"))
    with h5py.File(path, "a") as content:
        del content["SEM/images/2"].attrs["location"]
    with pytest.raises(InputError, match="no path_to_original and location of /SEM/images/2"):
        list(read_tiles(path))
    with h5py.File(path, "a") as content:
        del content["SEM/images/2"]
    with pytest.raises(InputError, match="no /SEM/images/0 and following"):
        list(read_tiles(path))
    (tmp_path / "no.hdf5").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no readable HDF5 file"):
        list(read_tiles(tmp_path / "no.hdf5"))


def test_holes_are_told(tmp_path):
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as content:
        for number, corner in enumerate([(0, 0), (4, 4)]):
            tile = content.create_dataset(f"a/images/{number}", data=np.zeros((4, 4), np.uint8))
            tile.attrs["path_to_original"], tile.attrs["location"] = "x.png", corner
    with pytest.raises(InputError, match=r"tiles of x\.png that leave holes"):
        list(read_tiles(path))


def test_the_size_of_the_original_comes_back_where_that_is_there(tmp_path):
    picture = cells((24, 32))[0]
    assert in_original_size(picture, str(tmp_path / "gone.png")) is picture
    original = save(tmp_path / "here.png", cells((48, 64))[0])
    assert in_original_size(picture, str(original)).shape == (48, 64)
