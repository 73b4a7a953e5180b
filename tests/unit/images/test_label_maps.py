"""Label maps of the generator: what is read from good ones, and one line for every kind of bad one."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from synthseg_core.errors import InputError, SynthSegError
from synthseg_core.images.volume import Volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.maps import read_label_maps
from tests.phantoms.label_maps import label_volume, write_list
from tests.phantoms.scans import write_nifti


@pytest.fixture
def labels(tmp_path) -> GenerationLabels:
    return GenerationLabels.read(write_list(tmp_path / "list.tsv"))


def test_more_than_255_labels(tmp_path):
    n = 300
    labels = GenerationLabels(tuple(range(0, 2 * n, 2)), n, tuple(range(n)), tuple(range(n)))
    data = np.arange(2 * 15 * 20).reshape(2, 15, 20) // 2 * 2
    maps = read_label_maps(write_nifti(tmp_path / "a.nii", Volume(data, np.eye(4)), "int16"), labels)
    assert maps.indices.dtype == torch.int16
    np.testing.assert_array_equal(maps.indices[0], data // 2)


def test_255_labels_still_fit_in_a_byte(tmp_path):
    labels = GenerationLabels(tuple(range(255)), 255, tuple(range(255)), tuple(range(255)))
    data = np.arange(255).reshape(3, 5, 17)
    maps = read_label_maps(write_nifti(tmp_path / "a.nii", Volume(data, np.eye(4)), "uint8"), labels)
    assert maps.indices.dtype == torch.uint8
    np.testing.assert_array_equal(maps.indices[0], data)


# Bad maps: each writes one file beside two good ones.


def test_sided_label_without_counterpart(tmp_path, labels):
    """A list whose mirror image leaves a sided label where it is."""

    class Alone(GenerationLabels):
        @property
        def swap_index(self):
            return 0, 1, 2, 5, 4, 3

    alone = Alone(**{name: getattr(labels, name) for name in ("values", "n_neutral", "classes", "outputs", "source")})
    with pytest.raises(InputError, match=r"a\.nii: found label 2, which has a side but no counterpart in .*list\.tsv"):
        read_label_maps(write_nifti(tmp_path / "a.nii", label_volume(), "int16"), alone)


def test_list_without_counterpart_is_refused_before_any_map(tmp_path, labels):
    rows = write_list(tmp_path / "list.tsv").read_text().splitlines()
    write_list(tmp_path / "short.tsv", "\n".join(rows[:-1]) + "\n")
    with pytest.raises(SynthSegError, match=r"short\.tsv: found .*as many labels on the left as on the right"):
        GenerationLabels.read(tmp_path / "short.tsv")


def test_training_maps(test_data):
    """Stored as int32 and float32, LIA, 256^3, 1 mm: read as 2 mm maps of the builtin list."""
    labels = GenerationLabels.builtin()
    paths = sorted((test_data / "training_label_maps").glob("*.nii.gz"))
    maps = read_label_maps([paths[0], paths[8]], labels, step=2)
    assert maps.shape == (128, 128, 128)
    assert maps.voxel_size == (2.0, 2.0, 2.0)
    for indices, affine, path in zip(maps.indices, maps.affine, (paths[0], paths[8]), strict=True):
        image = nib.as_closest_canonical(nib.load(path))
        values = np.array(labels.values)[indices.numpy()]
        np.testing.assert_array_equal(values, np.asanyarray(image.dataobj)[::2, ::2, ::2])
        np.testing.assert_allclose(affine @ [1, 1, 1, 1], image.affine @ [2, 2, 2, 1])
    left, right = ((maps.indices[0] == labels.values.index(v)).nonzero()[:, 0].double().mean() for v in (2, 41))
    assert left < right
