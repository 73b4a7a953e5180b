"""Reading and writing: values, headers, choice of volume, deterministic bytes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.images.reading import read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.quirks import REFERENCE
from tests.phantoms.scans import oblique_affine, phantom, write_nifti

BIG = (60, 70, 58)


def _voxels(path):
    return np.asanyarray(nib.load(path).dataobj)


def _write_header(path, data, change, affine=None):
    image = nib.Nifti1Image(data, oblique_affine() if affine is None else affine)
    change(image.header)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_values_and_affine(tmp_path, suffix, dtype):
    source = phantom((1.0, 1.1, 0.9), BIG)
    image = (nib.MGHImage if suffix == ".mgz" else nib.Nifti1Image)(source.data.clip(0).astype(dtype), source.affine)
    nib.save(image, tmp_path / f"x{suffix}")
    scan = read_scan(tmp_path / f"x{suffix}")
    assert scan.volume.data.dtype == np.float64
    assert scan.warnings == ()
    assert scan.source == tmp_path / f"x{suffix}"
    assert scan.header_voxel_size == pytest.approx((1.0, 1.1, 0.9))
    np.testing.assert_array_equal(scan.volume.data, source.data.clip(0).astype(dtype))
    np.testing.assert_allclose(scan.volume.affine, source.affine, atol=1e-4)


def test_scaled_values_are_those_of_nibabel(tmp_path):
    def scale(header):
        header.set_data_dtype("int16")
        header.set_slope_inter(0.37, -1000.25)

    path = _write_header(tmp_path / "x.nii.gz", phantom().data, scale)
    np.testing.assert_array_equal(read_scan(path).volume.data, nib.load(path).get_fdata(dtype=np.float64))


def test_big_endian_and_nifti2(tmp_path):
    source = phantom(shape=BIG)
    nib.save(nib.Nifti2Image(source.data.astype(">f4"), source.affine), tmp_path / "x.nii")
    np.testing.assert_array_equal(read_scan(tmp_path / "x.nii").volume.data, source.data.astype(np.float32))


def test_npz_has_identity_affine(tmp_path):
    data = phantom(shape=BIG).data.astype(np.float32)
    np.savez(tmp_path / "x.npz", vol_data=data)
    scan = read_scan(tmp_path / "x.npz")
    np.testing.assert_array_equal(scan.volume.data, data)
    np.testing.assert_array_equal(scan.volume.affine, np.eye(4))
    assert scan.header is None
    assert scan.header_voxel_size == (1.0, 1.0, 1.0)


def test_source_file_is_not_held_open_or_mapped(tmp_path):
    path = write_nifti(tmp_path / "x.nii", phantom(), "float64")
    scan = read_scan(path)
    scan.volume.data[:] = 0
    assert nib.load(path).get_fdata().any()


def _four_d(tmp_path, suffix=".nii.gz", volumes=3):
    data = np.stack([phantom(shape=BIG, seed=seed).data for seed in range(volumes)], axis=-1).astype(np.float32)
    if suffix == ".npz":
        np.savez(tmp_path / "x.npz", vol_data=data)
    else:
        nib.save(nib.Nifti1Image(data, oblique_affine()), tmp_path / f"x{suffix}")
    return tmp_path / f"x{suffix}", data


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".npz"])
def test_volume_is_chosen_by_number(tmp_path, suffix):
    path, data = _four_d(tmp_path, suffix)
    for number in range(3):
        scan = read_scan(path, volume=number)
        np.testing.assert_array_equal(scan.volume.data, data[..., number])
        assert scan.warnings == ()


def test_first_volume_is_the_default_with_a_warning(tmp_path):
    path, data = _four_d(tmp_path)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.volume.data, data[..., 0])
    assert scan.warnings == ("the file holds 3 volumes; the first is used; --volume N chooses another, 0 to 2",)


@pytest.mark.parametrize("shape", [(*BIG, 1), (*BIG, 1, 1)])
def test_length_one_axes_at_the_end_are_dropped(tmp_path, shape):
    nib.save(nib.Nifti1Image(phantom(shape=BIG).data.reshape(shape).astype(np.float32), np.eye(4)), tmp_path / "x.nii")
    scan = read_scan(tmp_path / "x.nii", volume=0)
    assert scan.volume.shape == BIG
    assert scan.warnings == ()


def test_vectors_on_the_fifth_axis_are_volumes(tmp_path):
    data = np.random.default_rng(0).normal(size=(20, 20, 20, 1, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "x.nii")
    np.testing.assert_array_equal(read_scan(tmp_path / "x.nii", volume=2).volume.data, data[..., 0, 2])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("slices", [1, 2, 3, 8, 10])
def test_thin_stacks_are_read_with_a_warning(tmp_path, axis, slices):
    shape = list(BIG)
    shape[axis] = slices
    path = write_nifti(tmp_path / "x.nii", phantom((1.0, 1.0, 1.0), shape))
    scan = read_scan(path)
    assert scan.volume.shape == tuple(shape)
    word = "slice" if slices == 1 else "slices"
    assert scan.warnings == (f"only {slices} {word} ({slices} mm) along axis {axis + 1}; results are poor",)


def test_reference_drops_every_length_one_axis(tmp_path):
    data = np.random.default_rng(0).normal(size=(20, 1, 21, 22)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "x.nii")
    np.testing.assert_array_equal(read_scan(tmp_path / "x.nii", quirks=REFERENCE).volume.data, data[:, 0])


def test_reference_takes_channel_zero(tmp_path):
    path, data = _four_d(tmp_path)
    scan = read_scan(path, volume=2, quirks=REFERENCE)
    np.testing.assert_array_equal(scan.volume.data, data[..., 0])
    assert scan.warnings == ("the last axis is taken as 3 channels; only the first is used",)


# --- writing ---------------------------------------------------------------------------------------------------------


def test_mgz_never_cuts_fractions_off(tmp_path):
    nib.save(nib.MGHImage(phantom(shape=BIG).data.clip(0).astype(np.uint8), np.eye(4)), tmp_path / "in.mgz")
    source = read_scan(tmp_path / "in.mgz")
    half = Volume(source.volume.data + 0.5, source.volume.affine)
    write_volume(tmp_path / "out.mgz", half, like=source, quirks=replace(REFERENCE, mgz_as_float32=False))
    np.testing.assert_array_equal(_voxels(tmp_path / "out.mgz"), half.data.astype(np.float32))


@pytest.mark.parametrize(
    ("read", "written"), [(".mgz", ".nii.gz"), (".nii.gz", ".mgz"), (".npz", ".nii.gz"), (".npz", ".mgz")]
)
def test_formats_convert_into_each_other(tmp_path, read, written):
    source = phantom(shape=BIG)
    write_volume(tmp_path / f"in{read}", source, dtype=np.float32)
    scan = read_scan(tmp_path / f"in{read}")
    write_volume(tmp_path / f"out{written}", scan.volume, like=scan, dtype=np.float32)
    again = read_scan(tmp_path / f"out{written}")
    np.testing.assert_array_equal(again.volume.data, scan.volume.data)
    np.testing.assert_allclose(again.volume.affine, scan.volume.affine, atol=1e-4)


@pytest.mark.parametrize("name", ["X.NII", "X.NII.GZ", "X.NPZ", "X.MGZ"])
def test_extensions_in_capitals(tmp_path, name):
    source = phantom(shape=BIG)
    write_volume(tmp_path / name, source, dtype=np.float32)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    np.testing.assert_array_equal(read_scan(tmp_path / name).volume.data, source.data.astype(np.float32))


def test_importing_io_loads_no_torch():
    code = "import sys, synthseg_core.images.reading, synthseg_core.segmentation.conform; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
