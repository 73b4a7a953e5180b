"""Reading and writing: values, headers, choice of volume, deterministic bytes."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.errors import OutputError
from synthseg_core.images.reading import read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.quirks import NATIVE, REFERENCE
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


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".npz", ".mgz"])
@pytest.mark.parametrize("dtype", ["int32", "float32", "uint8"])
def test_written_values_come_back(tmp_path, suffix, dtype):
    data = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    path = tmp_path / f"x{suffix}"
    write_volume(path, Volume(data, oblique_affine()), dtype=dtype)
    if suffix == ".npz":
        with np.load(path) as archive:
            assert archive.files == ["vol_data"]
            found = archive["vol_data"]
    else:
        found = _voxels(path)
        np.testing.assert_allclose(nib.load(path).affine, oblique_affine(), atol=1e-5)
    assert found.dtype.newbyteorder("=") == dtype
    np.testing.assert_array_equal(found, data)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".npz", ".mgz"])
def test_same_input_same_bytes(tmp_path, suffix, monkeypatch):
    volume = phantom()
    first, second = tmp_path / "a" / f"x{suffix}", tmp_path / "b" / f"y{suffix}"
    write_volume(first, volume, dtype=np.float32)
    later = time.time() + 1e8
    monkeypatch.setattr(time, "time", lambda: later)
    write_volume(second, volume, dtype=np.float32)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [f"x{suffix}", f"y{suffix}"]


def test_gzip_holds_no_name_and_no_time(tmp_path):
    write_volume(tmp_path / "x.nii.gz", phantom(), dtype=np.float32)
    head = (tmp_path / "x.nii.gz").read_bytes()[:10]
    assert head[3] == 0
    assert head[4:8] == bytes(4)
    assert gzip.decompress((tmp_path / "x.nii.gz").read_bytes())[344:348] == b"n+1\0"


def _described(header):
    header["descrip"] = b"a description"
    header.set_xyzt_units("unknown", "sec")
    header["cal_max"] = 255
    header["pixdim"][4] = 2.5


def _source(tmp_path, codes=(1, 1)):
    def change(header):
        _described(header)
        header.set_sform(oblique_affine(), codes[0])
        header.set_qform(oblique_affine(), codes[1])
        header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"about the input"))

    return read_scan(_write_header(tmp_path / "source.nii.gz", phantom(shape=BIG).data.astype(np.uint8), change))


@pytest.mark.parametrize("codes", [(1, 1), (4, 0), (0, 1), (2, 3)])
def test_codes_are_kept_when_the_affine_is(tmp_path, codes):
    source = _source(tmp_path, codes)
    write_volume(tmp_path / "out.nii.gz", source.volume, like=source, dtype=np.int32)
    header = nib.load(tmp_path / "out.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == codes
    assert header["descrip"].item() == b"a description"
    assert header.get_data_dtype() == np.int32
    np.testing.assert_allclose(nib.load(tmp_path / "out.nii.gz").affine, oblique_affine(), atol=1e-4)


def test_codes_and_zooms_change_with_the_affine(tmp_path):
    source, affine = _source(tmp_path), oblique_affine((2.0, 3.0, 4.0))
    write_volume(tmp_path / "out.nii.gz", Volume(source.volume.data, affine), like=source, dtype=np.float32)
    header = nib.load(tmp_path / "out.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (2, 0)
    np.testing.assert_allclose(header.get_zooms(), (2, 3, 4), rtol=1e-6)
    np.testing.assert_allclose(header.get_sform(), affine, atol=1e-5)


def test_four_dimensional_output(tmp_path):
    source = _source(tmp_path)
    data = np.random.default_rng(0).random((*BIG, 5)).astype(np.float32)
    write_volume(tmp_path / "out.nii.gz", Volume(data, source.volume.affine), like=source, dtype=np.float32)
    np.testing.assert_array_equal(_voxels(tmp_path / "out.nii.gz"), data)


def test_what_is_true_of_the_input_only_is_not_copied(tmp_path):
    source = _source(tmp_path)
    for quirks, cal_max, extensions in ((NATIVE, 0, 0), (REFERENCE, 255, 1)):
        write_volume(tmp_path / "out.nii.gz", source.volume, like=source, dtype=np.int32, quirks=quirks)
        header = nib.load(tmp_path / "out.nii.gz").header
        assert header.get_xyzt_units()[0] == "mm"
        assert header["cal_max"] == cal_max
        assert len(header.extensions) == extensions
    assert len(source.header.extensions) == 1


def test_type_of_the_volume_is_kept(tmp_path):
    """Labels must not be squeezed into the type of the scan, where 17 could come back as 17.0000003."""
    source = _source(tmp_path)
    labels = Volume((source.volume.data > 50).astype(np.int32) * 2035, source.volume.affine)
    write_volume(tmp_path / "out.nii.gz", labels, like=source)
    image = nib.load(tmp_path / "out.nii.gz")
    assert image.get_data_dtype() == np.int32
    assert image.header.get_slope_inter() in ((None, None), (1.0, 0.0))
    np.testing.assert_array_equal(image.get_fdata(), labels.data)


def test_type_of_the_input_means_requantised(tmp_path):
    source = _source(tmp_path)
    write_volume(tmp_path / "out.nii.gz", source.volume, like=source, quirks=REFERENCE)
    image = nib.load(tmp_path / "out.nii.gz")
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.get_fdata(), source.volume.data, atol=image.dataobj.slope)


def test_mgz_becomes_float32_only_by_quirk(tmp_path):
    labels = Volume(np.arange(24).reshape(2, 3, 4).astype(np.int32), np.eye(4))
    for quirks, expected in ((NATIVE, np.int32), (REFERENCE, np.float32)):
        write_volume(tmp_path / "x.mgz", labels, dtype=np.int32, quirks=quirks)
        assert nib.load(tmp_path / "x.mgz").get_data_dtype().newbyteorder("=") == expected


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


def test_unknown_output_extension(tmp_path):
    with pytest.raises(OutputError, match=r"x.img: found the extension .img; expected .nii, .nii.gz, .mgz or .npz"):
        write_volume(tmp_path / "x.img", phantom())
    assert list(tmp_path.iterdir()) == []


def test_importing_io_loads_no_torch():
    code = "import sys, synthseg_core.images.reading, synthseg_core.segmentation.conform; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
