"""Entropy of posteriors: its values, its place in the world, one class at a time, and in the report of a scan."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.errors import InputError
from synthseg_core.images.reading import read_stored
from synthseg_core.images.volume import Volume
from synthseg_core.reports.uncertainty import COLOURS, STEPS_BITS, entropy_on, stepped
from tests.phantoms.reports import write_segmented
from tests.phantoms.scans import all_orientations, oblique_affine, reoriented
from tests.unit.reports.test_scan_report import NAME, label_map

SHAPE, AFFINE = (9, 12, 7), oblique_affine((1.0, 1.0, 1.0))
SPOT = (6, 3, 2)


def posteriors(shape=SHAPE, classes=4):
    """Certain of class 0, but for one voxel where all classes are equally likely and one where two are."""
    values = np.zeros((*shape, classes), np.float32)
    values[..., 0] = 1
    values[SPOT] = 1 / classes
    values[1, 1, 1, :2] = 0.5
    return values


def write_posteriors(path, values, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


@pytest.mark.parametrize("name", ["p.nii.gz", "p.nii"])
def test_bits(tmp_path, name):
    path = write_posteriors(tmp_path / name, posteriors())
    found = entropy_on(path, Volume(np.zeros(SHAPE, np.int32), AFFINE))
    assert found[SPOT] == pytest.approx(2)
    assert found[1, 1, 1] == pytest.approx(1)
    assert np.count_nonzero(np.abs(found) > 1e-5) == 2


@pytest.mark.parametrize(("axes", "flips"), all_orientations())
def test_the_label_map_may_be_stored_in_any_order(tmp_path, axes, flips):
    path = write_posteriors(tmp_path / "p.nii.gz", posteriors())
    marked = np.zeros(SHAPE, np.int32)
    marked[SPOT] = 1
    labels = reoriented(Volume(marked, AFFINE), axes, flips)
    assert entropy_on(path, labels)[labels.data == 1] == pytest.approx([2])


def test_coarser_label_maps_take_the_nearest_voxel(tmp_path):
    values = np.zeros((8, 8, 8, 2), np.float32)
    values[..., 0], values[4:, :, :, :] = 1, 0.5
    path = write_posteriors(tmp_path / "p.nii.gz", values, np.eye(4))
    coarse = Volume(np.zeros((4, 4, 4), np.int32), np.diag([2.0, 2, 2, 1]))
    found = entropy_on(path, coarse)
    np.testing.assert_allclose(found[:2], 0, atol=1e-5)
    np.testing.assert_allclose(found[2:], 1, atol=1e-5)


def test_steps_and_their_colours():
    assert stepped(np.array([0.0, 0.24, 0.25, 0.6, 1.0, 1.7, 5.0])).tolist() == [0, 0, 1, 2, 4, 5, 6]
    assert len(COLOURS) == len(STEPS_BITS)
    lightness = [sum(colour) for colour in COLOURS]
    assert lightness == sorted(lightness)


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 1)])
def test_other_images_are_no_posteriors(tmp_path, shape):
    path = write_posteriors(tmp_path / "p.nii.gz", np.ones(shape, np.float32))
    with pytest.raises(InputError, match="expected a posterior for each class"):
        entropy_on(path, Volume(np.zeros(shape[:3], np.int32), AFFINE))


def test_damaged_files_are_named(tmp_path):
    path = write_posteriors(tmp_path / "p.nii.gz", np.random.default_rng(0).random((*SHAPE, 3)).astype(np.float32))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"p\.nii\.gz.*damaged or truncated"):
        entropy_on(path, Volume(np.zeros(SHAPE, np.int32), AFFINE))


def test_report_has_the_picture_where_posteriors_are_kept(tmp_path):
    out = tmp_path / "out"
    write_segmented(out, "01")
    assert main(["report", str(label_map(out))]) == 0
    page = out / f"{NAME}.html"
    assert "uncertainty" not in page.read_text()
    labels = read_stored(label_map(out))
    values = np.zeros((*labels.shape, 3), np.float32)
    values[..., 0], values[labels.data > 0] = 1, 1 / 3
    path = label_map(out).with_name(label_map(out).name.replace("seg-synthseg_dseg", "seg-synthseg_res-1mm_probseg"))
    write_posteriors(path, values, labels.affine)
    assert main(["report", str(label_map(out))]) == 0
    assert (out / "figures" / f"{NAME}_entropy.png").stat().st_size > 500
    assert "1.58 bits on average inside the labels" in page.read_text()
    assert 'id="show-entropy"' in page.read_text()
