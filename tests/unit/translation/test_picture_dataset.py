"""Datasets of pictures: 8-bit images in the layout of the seed, scaled; faults before anything is written."""

from __future__ import annotations

import h5py
import numpy as np

from synthseg_core.translation.dataset import PICTURE, Description, open_dataset
from synthseg_core.translation.microscopy import Picture, Scaled
from synthseg_core.translation.picture_dataset import (
    PicturePreparation,
    piece_corners,
    scaled_picture,
    scaled_shape,
    write_picture_dataset,
)
from synthseg_core.translation.pictures import read_picture
from synthseg_core.translation.sources import Source, faulty
from tests.phantoms.pictures import cells, save


def _picture(tmp_path, domain, number):
    picture, _ = cells(seed=number, dark=domain == "TEM")
    return Picture(Source(domain, f"sub-{number}", "", save(tmp_path / f"{domain}{number}.png", picture)))


def test_a_dataset_of_pictures(tmp_path):
    pictures = [_picture(tmp_path, domain, number) for domain in ("SEM", "TEM") for number in range(3)]
    factors = tuple((0.5, 0.5) if one.source.domain == "SEM" else (1.0, 1.0) for one in pictures)
    split_of = {"sub-0": "train", "sub-1": "val", "sub-2": "test"}
    description = Description(("SEM", "TEM"), PICTURE, 1e-4)
    preparation = PicturePreparation(pictures, Scaled(factors, 0.1), split_of, description)
    stacks = write_picture_dataset(tmp_path / "out", preparation)
    with h5py.File(tmp_path / "out" / "dataset_train.hdf5") as file:
        assert {name: [str(i) for i in group] for name, group in file.items()} == {"SEM": ["0"], "TEM": ["0"]}
        assert file["/SEM/0"].dtype == np.uint8
        assert file["/SEM/0"].shape == (24, 32)
    data = open_dataset(tmp_path / "out")
    assert data.spacing_mm == 1e-4
    assert data.stacks == stacks
    assert (stacks[0].low, stacks[0].high, stacks[0].spacing_mm) == (0, 255, 1e-4)
    np.testing.assert_allclose(data.image("TEM", "val", 0)[0], cells(seed=1, dark=True)[0] / 127.5 - 1, atol=1e-6)


def test_faults_are_told_in_a_line_each(tmp_path):
    pictures = [_picture(tmp_path, "SEM", 0), _picture(tmp_path, "SEM", 1)]
    save(pictures[1].source.path, np.full((9, 9), 3, np.uint8))
    (failure,) = faulty(read_picture, [picture.source for picture in pictures])
    assert failure.line() == (
        f"{tmp_path / 'SEM1.png'}: found 3 in every pixel; expected a picture; remove the file, or correct it"
    )


def test_scaling(tmp_path):
    path = _picture(tmp_path, "SEM", 0).source.path
    same, window = scaled_picture(path, (1.0, 1.0))
    np.testing.assert_array_equal(same, cells()[0])
    assert window.high == 255
    half, _ = scaled_picture(path, (0.5, 0.25))
    assert half.shape == (24, 16)
    assert half.dtype == np.uint8
    assert abs(half.mean() - same.mean()) < 2
    assert scaled_shape((3, 4), (0.01, 2.0)) == (1, 8)


def test_a_large_picture_is_stored_in_pieces_that_cover_it(tmp_path, monkeypatch):
    monkeypatch.setattr("synthseg_core.translation.picture_dataset.LARGEST_PIECE", 30)
    picture = _picture(tmp_path, "SEM", 0)
    description = Description(("SEM", "TEM"), PICTURE)
    preparation = PicturePreparation([picture], Scaled(((1.0, 1.0),), None), {"sub-0": "train"}, description)
    stacks = write_picture_dataset(tmp_path / "out", preparation)
    assert [(one.top, one.left) for one in stacks] == piece_corners((48, 64))
    assert [one.first_image for one in stacks] == list(range(6))
    data, whole = open_dataset(tmp_path / "out"), np.zeros((48, 64), np.float32)
    for number, stack in enumerate(stacks):
        piece = data.image("SEM", "train", number)[0]
        assert piece.shape == (30, 30)
        whole[stack.top : stack.top + 30, stack.left : stack.left + 30] = piece
    np.testing.assert_allclose(whole, cells()[0] / 127.5 - 1, atol=1e-6)


def test_a_small_picture_is_one_piece():
    assert piece_corners((1024, 9)) == [(0, 0)]
    assert piece_corners((1025, 9)) == [(0, 0), (1, 0)]
