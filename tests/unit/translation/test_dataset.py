"""Reading a translation dataset: counts, neighbours, processes, damaged folders; crops."""

from __future__ import annotations

import json
import multiprocessing
import pickle

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.errors import InputError, UsageError
from synthseg_core.translation.dataset import Description, Stack, crop, draw_crop, open_dataset, require_domain
from synthseg_core.translation.dataset_writing import DatasetWriter


def made_stack(domain="a", split="train", slices=4, subject="sub-01", **changes) -> Stack:
    """A row of a manifest."""
    values = {"plane": "axial", "spacing_mm": 1.0, "low": 10.0, "high": 210.0, "session": "", "file": f"/{subject}.nii"}
    return Stack(domain, subject, split=split, first_slice=3, last_slice=2 + slices, first_image=0, **values | changes)


def pictures(count, shape=(6, 5), seed=0):
    """Float images, -1 to 1, that all differ."""
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """Two scans of domain a in train, one of b; one of a in test."""
    with DatasetWriter(tmp_path / "data", Description(("a", "b"), "axial", 1.0, neighbours=1)) as writer:
        writer.add(made_stack(slices=4), pictures(4))
        writer.add(made_stack(slices=3, subject="sub-02"), pictures(3, (7, 9), 1))
        writer.add(made_stack("b", slices=2), pictures(2, (4, 4), 2))
        writer.add(made_stack(split="test", slices=1, subject="sub-03"), pictures(1, seed=3))
    return tmp_path / "data"


def test_what_a_dataset_says_of_itself(folder):
    data = open_dataset(folder)
    assert (data.domains, data.plane, data.spacing_mm, data.neighbours) == (("a", "b"), "axial", 1.0, 1)
    counts = {(d, s): data.count(d, s) for d in "ab" for s in ("train", "val", "test")}
    assert {key: count for key, count in counts.items() if count} == {
        **{("a", "train"): 7, ("b", "train"): 2, ("a", "test"): 1},
    }


def test_neighbours_stay_within_a_scan(folder):
    data = open_dataset(folder)
    first, second = pictures(4), pictures(3, (7, 9), 1)
    np.testing.assert_array_equal(data.image("a", "train", 1), first[[0, 1, 2]])
    np.testing.assert_array_equal(data.image("a", "train", 0), first[[0, 0, 1]])
    np.testing.assert_array_equal(data.image("a", "train", 3), first[[2, 3, 3]])
    np.testing.assert_array_equal(data.image("a", "train", 4), second[[0, 0, 1]])
    np.testing.assert_array_equal(data.image("a", "train", 6), second[[1, 2, 2]])
    assert data.image("a", "test", 0).dtype == np.float32
    for index in (-1, 7):
        with pytest.raises(IndexError):
            data.image("a", "train", index)


def test_the_file_behind_an_image_and_the_way_back_to_its_values(folder):
    data = open_dataset(folder)
    stack = data.stack_of("a", "train", 4)
    assert stack is not None
    assert (stack.subject, stack.first_image, len(stack)) == ("sub-02", 4, 3)
    np.testing.assert_allclose(stack.window.undone(np.array([-1.0, 0.0, 1.0])), [10, 110, 210])


def _sums(data: object, numbers: range) -> list[float]:
    return [float(data.image("a", "train", number).sum()) for number in numbers]  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_worker_processes_open_the_files_themselves(folder):
    data = open_dataset(folder)
    here = _sums(data, range(7))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap(_sums, [(data, range(7))] * 4) == [here] * 4
    assert _sums(pickle.loads(pickle.dumps(data)), range(7)) == here  # noqa: S301 - its own
    data.close()
    assert _sums(data, range(7)) == here


@pytest.fixture
def bare(tmp_path):
    """What users of the seed have: uint8, no manifest, two domains of different length."""
    for number, split in enumerate(("train", "val", "test")):
        with h5py.File(tmp_path / f"cells_{split}.hdf5", "w") as file:
            for domain, count in (("SEM", 3 - number), ("TEM", 1)):
                for i in range(count):
                    file[f"/{domain}/{i}"] = np.array([[0, 255], [i, 51]], np.uint8)
    return tmp_path


def test_files_without_a_manifest(bare):
    data = open_dataset(bare)
    assert (data.domains, data.plane, data.spacing_mm, data.neighbours) == (("SEM", "TEM"), "picture", None, 0)
    assert [data.count("SEM", split) for split in ("train", "val", "test")] == [3, 2, 1]
    np.testing.assert_allclose(data.image("SEM", "train", 2)[0], [[-1, 1], [2 / 127.5 - 1, -0.6]], atol=1e-6)
    assert data.stack_of("SEM", "train", 0) is None
    assert data.stacks == ()


def test_missing_and_damaged_files(folder, bare, tmp_path):
    with pytest.raises(InputError, match="no dataset_train.hdf5, dataset_val.hdf5, dataset_test.hdf5"):
        open_dataset(tmp_path / "nothing")
    (bare / "cells_val.hdf5").unlink()
    with pytest.raises(InputError, match="found no cells_val.hdf5"):
        open_dataset(bare)
    (bare / "cells_val.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"cells_val\.hdf5: found no readable HDF5 file"):
        open_dataset(bare)
    with h5py.File(folder / "dataset_train.hdf5", "a") as file:
        del file["/a/6"]
    with pytest.raises(InputError, match="6 images of a, where the manifest says 7"):
        open_dataset(folder)
    with h5py.File(folder / "dataset_train.hdf5", "a") as file:
        del file["/a/2"]
    with pytest.raises(InputError, match="no image /a/2, although there are 5"):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("manifest.tsv", "\tsplit\t", "\tpart\t", "expected also split"),
        ("manifest.tsv", "\t210.0", "\tmuch", "row 1: found a cell that is no number"),
        ("dataset.json", "neighbours", "neighbors", "unknown entries neighbors"),
    ],
)
def test_tables_that_were_changed(folder, name, old, new, message):
    path = folder / name
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises((InputError, UsageError), match=message):
        open_dataset(folder)


@pytest.mark.parametrize("stored", [np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3), np.int16)])
def test_images_of_another_kind_are_told_with_their_place(bare, stored):
    with h5py.File(bare / "cells_train.hdf5", "a") as file:
        del file["/SEM/1"]
        file["/SEM/1"] = stored
    with pytest.raises(InputError, match=r"cells_train\.hdf5/SEM/1: found .* expected one 2D image, uint8"):
        open_dataset(bare).image("SEM", "train", 1)


def test_a_domain_that_is_not_there(bare):
    require_domain(open_dataset(bare), "TEM")
    with pytest.raises(UsageError, match="LM: found no such domain; expected one of SEM, TEM"):
        require_domain(open_dataset(bare), "LM")


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_crops_hold_pixels_of_the_image_and_background(rows, columns, height, width, seed):
    image = np.arange(rows * columns, dtype=np.float32).reshape(1, rows, columns)
    drawn = draw_crop(image.shape, (height, width), np.random.default_rng(seed))
    out = crop(image, (height, width), np.random.default_rng(seed))
    np.testing.assert_array_equal(out, drawn.of(image))
    assert out.shape == (1, height, width)
    kept = out[out >= 0]
    assert len(kept) == min(rows, height) * min(columns, width)
    assert len(set(kept)) == len(kept)
    assert (out[out < 0] == -1).all()


def test_a_crop_is_the_same_for_a_pair_and_reaches_every_place():
    image = np.arange(16.0).reshape(4, 4)
    rng = np.random.default_rng(0)
    drawn = [draw_crop(image.shape, 3, rng) for _ in range(200)]
    assert {one.corner for one in drawn} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert len({one.flips for one in drawn}) == 4
    np.testing.assert_array_equal(drawn[0].of(image + 100), drawn[0].of(image) + 100)


def test_description_is_plain_json(folder):
    content = json.loads((folder / "dataset.json").read_text())
    assert content["domains"] == ["a", "b"]
    assert content["spacing_mm"] == 1.0
