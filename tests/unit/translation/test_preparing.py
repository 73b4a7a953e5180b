"""Scans become images of a dataset: slices with enough head, windows, pairs; what is no scan is told before."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.errors import GeometryError, InputError, UsageError
from synthseg_core.images.volume import Volume
from synthseg_core.translation.dataset import Description, open_dataset
from synthseg_core.translation.preparing import Cutting, Preparation, cut_pair, cut_scan, usable_scan, write_dataset
from synthseg_core.translation.slices import plan_slices
from synthseg_core.translation.sources import Source, faulty
from tests.phantoms.scans import nested_ellipsoids, oblique_affine, phantom, reoriented, write_nifti


def _scan(path, size=(1.0, 1.0, 1.0), shape=(30, 36, 28), seed=0, order=((0, 1, 2), (False,) * 3)):
    return write_nifti(path, reoriented(phantom(size, shape, seed=seed), *order))


def test_images_of_a_scan(tmp_path):
    path = _scan(tmp_path / "scan.nii", order=((2, 0, 1), (True, False, True)))
    made = cut_scan(path, Cutting(coverage=0.3), ct=False)
    whole = plan_slices(phantom(shape=(30, 36, 28)), "axial", 1.0).slices(phantom(shape=(30, 36, 28)).data)
    top, left = made.corner
    count, height, width = made.images.shape
    assert made.images.dtype == np.float32
    assert (made.images.min(), made.images.max()) == (-1, 1)
    assert 2 <= made.first_slice <= 4
    assert made.dropped == 28 - count
    kept = whole[made.first_slice : made.first_slice + count, top : top + height, left : left + width]
    np.testing.assert_allclose(made.images, made.window.normalised(kept), atol=1e-5)
    assert whole[made.first_slice - 1].mean() < whole[made.first_slice].mean()


def test_both_domains_come_to_one_spacing(tmp_path):
    fine, thick = _scan(tmp_path / "a.nii", (0.5, 0.5, 2.0)), _scan(tmp_path / "b.nii", (1.0, 1.0, 1.0), (15, 18, 56))
    heights = [cut_scan(path, Cutting(), ct=False).images.shape[1:] for path in (fine, thick)]
    assert heights == [(18, 15), (18, 15)]


def test_a_ct_is_windowed(tmp_path):
    inside = nested_ellipsoids((30, 36, 28)) > 30
    path = write_nifti(tmp_path / "ct.nii", Volume(np.where(inside, 40.0, -1000.0), oblique_affine()))
    with pytest.raises(InputError, match="label map"):
        cut_scan(path, Cutting(), ct=True)
    noisy = np.where(inside, 40.0, -1000.0) + np.random.default_rng(0).normal(0, 0.3, inside.shape)
    made = cut_scan(write_nifti(path, Volume(noisy, oblique_affine())), Cutting(ct_window_hu=(0.0, 80.0)), ct=True)
    assert (made.window.low, made.window.high) == (0, 80)
    assert np.percentile(made.images, 0.1) == -1
    assert abs(np.median(made.images[made.images > -1])) < 0.05


def _faults(path):
    return [failure.line() for failure in faulty(usable_scan, [Source("a", "sub-01", "", path)])]


def test_what_is_no_scan_is_told_in_a_line_each(tmp_path):
    good = phantom()
    write_nifti(tmp_path / "blank.nii", Volume(np.full(good.shape, 7.0), good.affine))
    write_nifti(tmp_path / "labels.nii", Volume(np.rint(good.data / 40), good.affine), "uint8")
    write_nifti(tmp_path / "two.nii", Volume(np.stack([good.data] * 2, axis=3), good.affine))
    colour = np.zeros(good.shape, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nib.save(nib.Nifti1Image(colour, good.affine), tmp_path / "colour.nii")
    (tmp_path / "text.nii").write_text("no scan")
    write_nifti(tmp_path / "good.nii", good)
    expected = {
        "blank.nii": "found 7 in every voxel",
        "labels.nii": "found few different whole numbers in regions, as in a label map; expected a scan",
        "two.nii": "found 2 volumes in one file; expected a scan of one channel",
        "colour.nii": "colour",
        "text.nii": "found",
    }
    for name, message in expected.items():
        (line,) = _faults(tmp_path / name)
        assert message in line
        assert line.startswith(str(tmp_path / name))
        assert "\n" not in line
    assert _faults(tmp_path / "good.nii") == []


def test_a_pair_is_cut_at_the_same_places(tmp_path):
    first = _scan(tmp_path / "a.nii")
    second = write_nifti(tmp_path / "b.nii", Volume(200 - phantom(shape=(30, 36, 28)).data, oblique_affine()))
    one, other = cut_pair(first, second, Cutting(), (False, False))
    assert one.images.shape == other.images.shape
    assert (one.first_slice, one.corner) == (other.first_slice, other.corner)
    inside = one.images[len(one.images) // 2] > -0.5
    assert (
        np.corrcoef(one.images[len(one.images) // 2][inside], other.images[len(one.images) // 2][inside])[0, 1] < -0.9
    )
    moved = write_nifti(tmp_path / "c.nii", phantom(shape=(30, 36, 27)))
    with pytest.raises(GeometryError, match=r"c\.nii: found another grid than that of a\.nii"):
        cut_pair(first, moved, Cutting(), (False, False))


@pytest.mark.parametrize("is_paired", [False, True])
@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_dataset(tmp_path, is_paired, jobs):
    domains = {
        name: [
            Source(name, f"sub-{n}", "", _scan(tmp_path / f"{name}{n}.nii", seed=10 * n + len(name))) for n in range(3)
        ]
        for name in ("x", "yy")
    }
    split_of = {"sub-0": "train", "sub-1": "val", "sub-2": "test"}
    description = Description(("x", "yy"), "axial", 1.0, neighbours=1, paired=is_paired)
    summary = write_dataset(tmp_path / "out", Preparation(domains, split_of, description, Cutting()), jobs=jobs)
    data = open_dataset(tmp_path / "out")
    assert len(summary.stacks) == 6
    assert sorted(data.stacks, key=str) == sorted(summary.stacks, key=str)
    assert data.count("x", "test") == len(data.stack_of("x", "test", 0) or ()) > 10
    made = cut_scan(tmp_path / "yy1.nii", Cutting(), ct=False)
    np.testing.assert_array_equal(data.image("yy", "val", 3)[1], made.images[3])
    assert summary.dropped["x"] > 0
    if is_paired:
        assert all(data.count("x", split) == data.count("yy", split) for split in ("train", "val", "test"))


@pytest.mark.parametrize("values", [{"coverage": 1.5}, {"ct_window_hu": (80.0, 0.0)}])
def test_impossible_options(values):
    with pytest.raises(UsageError, match="coverage: found 1.5|CT window: found 80 0"):
        Cutting(**values)
