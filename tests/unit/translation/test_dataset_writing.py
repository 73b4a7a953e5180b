"""Writing a translation dataset: the layout, the same bytes, nothing half done."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from synthseg_core.errors import InputError
from synthseg_core.translation.dataset import Description, open_dataset, read_manifest
from synthseg_core.translation.dataset_writing import DatasetWriter
from tests.phantoms.trees import contents
from tests.unit.translation.test_dataset import made_stack, pictures

DESCRIPTION = Description(("a", "b"), "axial", 1.0)


def _write(folder, seed=0):
    with DatasetWriter(folder, DESCRIPTION) as writer:
        writer.add(made_stack(slices=2), pictures(2, seed=seed))
        writer.add(made_stack("b", slices=1, subject="sub-02", spacing_mm=None), pictures(1, seed=seed))
        return writer.add(made_stack(slices=3, subject="sub-03"), pictures(3, seed=seed))


class _Interrupted(list):
    """Images of which only the first comes."""

    def __iter__(self):
        yield self[0]
        raise KeyboardInterrupt


def test_layout(tmp_path):
    placed = _write(tmp_path)
    assert placed.first_image == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("dataset.json", "dataset_test.hdf5", "dataset_train.hdf5", "dataset_val.hdf5", "manifest.tsv"),
    ]
    with h5py.File(tmp_path / "dataset_train.hdf5") as file:
        assert sorted(file["a"]) == ["0", "1", "2", "3", "4"]
        np.testing.assert_array_equal(file["/a/3"], pictures(3)[1])
    rows = read_manifest(tmp_path / "manifest.tsv")
    assert rows[2] == placed
    assert rows[1].spacing_mm is None


def test_the_same_images_give_the_same_bytes(tmp_path):
    _write(tmp_path / "one")
    _write(tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_interrupted_writer_leaves_the_earlier_dataset(tmp_path):
    _write(tmp_path)
    before = contents(tmp_path)

    with pytest.raises(KeyboardInterrupt), DatasetWriter(tmp_path, DESCRIPTION) as writer:
        writer.add(made_stack(slices=2), _Interrupted(pictures(2, seed=5)))
    assert contents(tmp_path) == before


def test_a_dataset_is_replaced_as_a_whole(tmp_path):
    _write(tmp_path)
    _write(tmp_path, seed=1)
    np.testing.assert_array_equal(open_dataset(tmp_path).image("a", "train", 0)[0], pictures(2, seed=1)[0])


def test_images_that_no_reader_takes_are_refused(tmp_path):
    with pytest.raises(InputError, match="float64 of shape 6 x 5"), DatasetWriter(tmp_path, DESCRIPTION) as writer:
        writer.add(made_stack(slices=1), pictures(1).astype(np.float64))
    assert list(tmp_path.iterdir()) == []
