import sys

import numpy as np
import pytest

from synthseg_core.bids.discovery import discover
from synthseg_core.bids.search import Search
from synthseg_core.cli.demo import template
from synthseg_core.errors import UsageError
from synthseg_core.images.affines import voxel_size
from synthseg_core.images.reading import read_scan, read_stored
from synthseg_core.images.volume import Volume
from tests.phantoms.scans import oblique_affine, phantom, write_nifti
from tests.phantoms.trees import contents


def test_thick_slices_are_averages_where_their_voxels_were():
    affine = oblique_affine((1.0, 1.2, 0.8))
    data = np.arange(2 * 3 * 7, dtype=np.uint8).reshape(2, 3, 7)
    thick = template.thick_slices(Volume(data, affine), 3)
    assert thick.data.shape == (2, 3, 2)  # the seventh slice is left over
    assert thick.data[1, 2].tolist() == [np.mean([35, 36, 37]), np.mean([38, 39, 40])]
    assert voxel_size(thick.affine) == pytest.approx((1.0, 1.2, 2.4))
    assert thick.affine @ [1, 2, 1, 1] == pytest.approx(affine @ [1, 2, 4, 1])


def test_inversion_swaps_dark_and_bright_and_spares_the_background():
    volume = Volume(np.array([0, 40, 255], dtype=np.uint8).reshape(3, 1, 1), np.eye(4))
    assert template.inverted(volume).data.ravel().tolist() == [0, 240, 25]


def test_dataset_is_bids_and_the_same_every_time(tmp_path):
    head = phantom((1.0, 1.5, 0.9))
    head = Volume(np.clip(np.rint(head.data), 0, 255).astype(np.uint8), head.affine)
    write_nifti(tmp_path / "head.nii.gz", head)
    paths = template.write_dataset(tmp_path / "a", tmp_path / "head.nii.gz")
    template.write_dataset(tmp_path / "b", tmp_path / "head.nii.gz")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    found = discover(tmp_path / "a", Search())
    assert sorted(tmp_path / "a" / row.path for row in found) == sorted(paths)
    assert not [row for row in found if row.problem]
    assert {row.participant_id for row in found} == {"sub-01", "sub-02", "sub-03"}
    assert read_scan(paths[1]).volume.voxel_size == pytest.approx((1.0, 1.5, 4.5))


def test_template_that_nilearn_carries():
    pytest.importorskip("nilearn", reason="the extra 'demo' is not installed")
    volume = read_stored(template.template_path())
    assert volume.shape == (197, 233, 189)
    assert volume.voxel_size == (1, 1, 1)
    assert volume.data.max() <= 255  # what the inversion is made for
    brain_ml = (volume.data > 0).sum() / 1000
    assert 1800 < brain_ml < 2000  # without skull


def test_without_nilearn_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(template, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"no nilearn .* pip install 'synthseg-bids\[demo\]'"):
        template.template_path()


def test_none_of_nilearns_code_runs():
    pytest.importorskip("nilearn", reason="the extra 'demo' is not installed")
    sys.modules.pop("nilearn", None)
    template.template_path()
    assert "nilearn" not in sys.modules
