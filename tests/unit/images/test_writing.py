"""Written volumes: values, geometry and the same bytes again."""

from __future__ import annotations

import gzip
import time

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.errors import OutputError
from synthseg_core.images.reading import read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.quirks import NATIVE, REFERENCE
from tests.phantoms.scans import oblique_affine, phantom

BIG = (60, 70, 58)


def _voxels(path):
    return np.asanyarray(nib.load(path).dataobj)


def _write_header(path, data, change, affine=None):
    image = nib.Nifti1Image(data, oblique_affine() if affine is None else affine)
    change(image.header)
    nib.save(image, path)
    return path


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


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".npz", ".mgz", ".mgh"])
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
    header.set_intent("t test", (7,), name="t of a study")


_T_TEST = ("t test", (7.0,), "t of a study")


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
    for quirks, cal_max, extensions, intent in ((NATIVE, 0, 0, ("none", (), "")), (REFERENCE, 255, 1, _T_TEST)):
        write_volume(tmp_path / "out.nii.gz", source.volume, like=source, dtype=np.int32, quirks=quirks)
        header = nib.load(tmp_path / "out.nii.gz").header
        assert header.get_xyzt_units()[0] == "mm"
        assert header["cal_max"] == cal_max
        assert len(header.extensions) == extensions
        assert header.get_intent() == intent
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


def test_numbers_beyond_the_type_are_infinite_and_nobody_speaks(tmp_path, recwarn):
    data = np.array([[[1.0, 1e300, -1e300]]])
    write_volume(tmp_path / "x.nii.gz", Volume(data, np.eye(4)), dtype=np.float32)
    assert _voxels(tmp_path / "x.nii.gz").ravel().tolist() == [1.0, np.inf, -np.inf]
    assert not recwarn.list


def test_unknown_output_extension(tmp_path):
    with pytest.raises(OutputError, match=r"x.img: found the extension .img; expected .nii.gz or .nii or "):
        write_volume(tmp_path / "x.img", phantom())
    assert list(tmp_path.iterdir()) == []
