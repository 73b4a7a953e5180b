"""Every way a file can be wrong gets one clear line: what was found, what was expected, what to do."""

from __future__ import annotations

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tokenize import TokenError

import nibabel as nib
import numpy as np
import pytest
from nibabel import imageglobals

from synthseg_core.errors import GeometryError, InputError, OutputError
from synthseg_core.images import checks, opening
from synthseg_core.images.reading import read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.quirks import NATIVE, REFERENCE
from synthseg_core.segmentation.conform import ConformConfig, conform
from synthseg_core.system.atomic import temporary_name
from tests.phantoms.scans import oblique_affine, phantom, reoriented, write_nifti
from tests.privileges import ordinary_user

BIG = (60, 70, 58)


def refused(path, *parts, kind=InputError, **options) -> str:
    """Check that reading fails with one line that names the file and holds all parts."""
    with pytest.raises(kind) as caught:
        read_scan(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: found ")
    assert message.count("found ") == message.count("; expected ") == 1
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


def save(path: Path, data: np.ndarray, change=lambda header: None, affine=None) -> Path:
    header = nib.Nifti1Image(data, oblique_affine() if affine is None else affine).header
    change(header)
    # Without an affine of its own the image leaves the header alone.
    nib.save(nib.Nifti1Image(data, None, header), path)
    return path


def brain(voxel_size=(1.0, 1.0, 1.0)) -> np.ndarray:
    return phantom(voxel_size, BIG).data.astype(np.float32)


# --- the file --------------------------------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    refused(tmp_path / "x.nii.gz", "no such file", "check the path")
    refused(tmp_path / "a\0b.nii.gz", "no such file", "check the path")


def test_folder(tmp_path):
    refused(tmp_path, "a folder", "one scan")


def test_link_to_nothing(tmp_path):
    (tmp_path / "x.nii.gz").symlink_to(tmp_path / ".git/annex/objects/abc")
    refused(tmp_path / "x.nii.gz", "a symbolic link to nothing", "datalad get")


def test_pipe(tmp_path):
    os.mkfifo(tmp_path / "x.nii.gz")
    refused(tmp_path / "x.nii.gz", "a device or pipe")


@pytest.mark.parametrize("name", ["x.txt", "x.img", "x", "x.nii.gz.txt", "x.nrrd", "x.Nii.Gz"])
def test_wrong_extension(tmp_path, name):
    (tmp_path / name).write_text("hello")
    refused(tmp_path / name, f"the extension {Path(name).suffix or 'none'}", ".nii.gz or .nii or .mgz or .mgh or .npz")


CONTENTS = {
    "nothing": (b"", "an empty file (0 bytes)", "copy or convert"),
    "annex pointer": (b"/annex/objects/MD5E-s123--abc.nii.gz\n", "a git-annex pointer", "datalad get"),
    "lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n",
        "a git-lfs pointer",
        "git lfs pull",
    ),
    "page": (b"\n<!DOCTYPE html><html>404</html>", "a web page", "download the file again"),
    "text": (b"subject,age\n1,20\n", "unknown content", "copy or convert"),
    "dicom": (bytes(128) + b"DICM", "a DICOM file", "dcm2niix"),
}


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mgz", ".npz"])
@pytest.mark.parametrize("name", CONTENTS)
def test_content_that_is_no_scan(tmp_path, name, suffix):
    content, found, remedy = CONTENTS[name]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    refused(path, f"found {found}", remedy)


def test_nifti_that_is_not_compressed_but_says_so(tmp_path):
    write_nifti(tmp_path / "x.nii", phantom()).rename(tmp_path / "x.nii.gz")
    refused(tmp_path / "x.nii.gz", "found uncompressed NIfTI; expected gzip data; rename the file to end in .nii")


def test_nifti_that_is_compressed_but_does_not_say_so(tmp_path):
    write_nifti(tmp_path / "x.nii.gz", phantom()).rename(tmp_path / "x.nii")
    refused(tmp_path / "x.nii", "found gzip data; expected uncompressed NIfTI; rename the file to end in .gz")


def test_archive_with_a_scan_s_name(tmp_path):
    np.savez(tmp_path / "x.npz", vol_data=brain())
    (tmp_path / "x.npz").rename(tmp_path / "x.nii")
    refused(tmp_path / "x.nii", "a zip archive")


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mgz", ".npz"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_truncated(tmp_path, suffix, share, quirks):
    path = tmp_path / f"x{suffix}"
    write_volume(path, Volume(brain(), oblique_affine()), dtype=np.float32)
    content = path.read_bytes()
    path.write_bytes(content[: max(int(len(content) * share), 600)])
    refused(path, "a damaged or truncated file", "again from its source", quirks=quirks)


@pytest.mark.parametrize(
    "error",
    [TypeError("too small"), NotImplementedError("compression"), RuntimeError("encrypted"), TokenError("EOF")],
)
def test_what_readers_were_seen_to_raise_on_random_bytes(tmp_path, monkeypatch, error):
    path = write_nifti(tmp_path / "x.nii.gz", phantom())
    monkeypatch.setattr(opening, "read_nifti", raising(error))
    refused(path, "a damaged or truncated file")


def test_header_that_promises_more_than_the_memory_holds(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "x.nii.gz", phantom())
    monkeypatch.setattr(opening, "read_nifti", raising(MemoryError()))
    refused(path, "more voxels than the memory can hold")


def raising(error):
    def load(*args, **kwargs):
        raise error

    return load


def test_repaired_header_is_a_warning_and_nothing_else(tmp_path, capfd):
    """The reader's own messages name no file and must not come out beside the warning."""
    path = save(tmp_path / "x.nii", phantom().data.astype(np.float32))
    content = bytearray(path.read_bytes())
    content[254:256] = (127).to_bytes(2, "little")  # sform_code
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(content))
    scan = read_scan(tmp_path / "x.nii.gz")
    assert any("sform_code 127 not valid" in line for line in scan.warnings)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz"])
def test_garbage_after_the_gzip_signature(tmp_path, suffix):
    (tmp_path / f"x{suffix}").write_bytes(b"\x1f\x8b" + bytes(range(256)))
    refused(tmp_path / f"x{suffix}", "a damaged or truncated file")


def test_gzip_of_something_else(tmp_path):
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(b"hello " * 500))
    refused(tmp_path / "x.nii.gz", "a damaged or truncated file")


def test_flipped_bytes_inside_the_stream(tmp_path):
    path = write_nifti(tmp_path / "x.nii.gz", phantom(shape=BIG))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(content)
    refused(path, "a damaged or truncated file")


def test_npz_without_the_array(tmp_path):
    np.savez(tmp_path / "x.npz", a=brain(), b=brain())
    refused(tmp_path / "x.npz", "arrays named a, b; expected one named vol_data", "numpy.savez")


def test_npz_with_objects(tmp_path):
    np.savez(tmp_path / "x.npz", vol_data=np.array([[[{}]]], dtype=object))
    refused(tmp_path / "x.npz", "voxels of type object", "one real number a voxel")


def test_npz_with_text(tmp_path):
    np.savez(tmp_path / "x.npz", vol_data=np.array([[["a"]]]))
    refused(tmp_path / "x.npz", "voxels of type <U1", "one real number a voxel")


def test_no_read_permission():
    with ordinary_user() as folder:
        path = write_nifti(folder / "x.nii.gz", phantom())
        path.chmod(0)
        refused(path, "no access (Permission denied)", "the permissions")
        folder.chmod(0)
        refused(path, "no access (Permission denied)", "the permissions")


def test_name_that_is_too_long(tmp_path):
    refused(tmp_path / ("x" * 300 + ".nii.gz"), "no access (File name too long)", "correct the path")


def test_no_write_permission():
    with ordinary_user() as folder:
        folder.chmod(0o555)
        with pytest.raises(OutputError, match=r"out.nii.gz: found permission denied; .*; correct the permissions"):
            write_volume(folder / "out.nii.gz", phantom())


def test_output_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose an output folder whose path holds no file"):
        write_volume(tmp_path / "file" / "out.nii.gz", phantom())


def test_disk_full_while_writing_a_volume(tmp_path, monkeypatch):
    """The temporary file leads to a full device; the half result and the final name must both be gone."""
    monkeypatch.setattr("secrets.token_hex", lambda n: "f011")
    temporary_name(tmp_path / "out.nii.gz").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"out.nii.gz: found no space left on device; .*; free some space"):
        write_volume(tmp_path / "out.nii.gz", phantom())
    assert list(tmp_path.iterdir()) == []


# --- the voxels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "found"), [((40, 40), "a 2-D image of shape 40 x 40"), ((40,), "a 1-D image of shape 40")]
)
@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_too_few_axes(tmp_path, shape, found, quirks):
    save(tmp_path / "x.nii", np.random.default_rng(0).random(shape).astype(np.float32), affine=np.eye(4))
    refused(tmp_path / "x.nii", found, "give the whole volume", quirks=quirks)


def test_too_many_axes(tmp_path):
    save(tmp_path / "x.nii", np.zeros((5, 5, 5, 2, 3), np.float32))
    refused(tmp_path / "x.nii", "a 5-D image of shape 5 x 5 x 5 x 2 x 3", "extract one 3-D volume")


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_no_voxels(tmp_path, quirks):
    np.savez(tmp_path / "x.npz", vol_data=np.zeros((5, 0, 5)))
    refused(tmp_path / "x.npz", "no voxels of shape 5 x 0 x 5", quirks=quirks)


@pytest.mark.parametrize(("volume", "expected"), [(3, "a number from 0 to 2"), (-1, "a number from 0 to 2")])
def test_volume_number_out_of_range(tmp_path, volume, expected):
    save(tmp_path / "x.nii", np.random.default_rng(0).random((20, 20, 20, 3)).astype(np.float32))
    refused(tmp_path / "x.nii", f"3 volumes, but number {volume} was asked for", expected, volume=volume)


def test_volume_number_for_a_single_volume(tmp_path):
    path = write_nifti(tmp_path / "x.nii", phantom())
    refused(path, "1 volume, but number 1 was asked for; expected number 0", volume=1)


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_colour(tmp_path, quirks):
    data = np.zeros((20, 20, 20), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    save(tmp_path / "x.nii", data)
    refused(tmp_path / "x.nii", "colour (RGB) voxels", "greyscale", quirks=quirks)


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_complex(tmp_path, quirks):
    save(tmp_path / "x.nii", brain().astype(np.complex64))
    refused(tmp_path / "x.nii", "complex voxels", "magnitude image", quirks=quirks)


def test_surface_data_in_a_nifti(tmp_path):
    axes = (nib.cifti2.SeriesAxis(0, 1, 2), nib.cifti2.BrainModelAxis.from_mask(np.ones((2, 2, 2)), affine=np.eye(4)))
    nib.save(nib.Cifti2Image(np.zeros((2, 8), np.float32), axes), tmp_path / "x.dtseries.nii")
    refused(tmp_path / "x.dtseries.nii", "a CIFTI file", "give the volume that it came from")


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_constant(tmp_path, value):
    save(tmp_path / "x.nii", np.full(BIG, value, np.float32))
    refused(tmp_path / "x.nii", f"{value:g} in every voxel", "anatomy")
    scan = read_scan(tmp_path / "x.nii", quirks=REFERENCE)
    assert scan.warnings == (f"every voxel is {value:g}: the scan holds no anatomy",)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".npz"])
def test_nan_and_infinity_are_replaced_and_counted(tmp_path, dtype, suffix):
    data = brain().astype(dtype)
    data[1, 2, 3], data[4, 5, 6], data[7, 8, 9] = np.nan, np.inf, -np.inf
    write_volume(tmp_path / f"x{suffix}", Volume(data, oblique_affine()), dtype=dtype)
    smallest = data[np.isfinite(data)].min()
    scan = read_scan(tmp_path / f"x{suffix}")
    assert scan.warnings == (
        f"3 of 243600 voxels (0.0012 %) are NaN or infinite; replaced by {smallest:g}, the smallest finite value",
    )
    expected = np.where(np.isfinite(data), data, smallest)
    np.testing.assert_array_equal(scan.volume.data, expected)


def test_nan_is_kept_and_reported_in_the_reference(tmp_path):
    data = brain()
    data[1, 2, 3] = np.nan
    save(tmp_path / "x.nii", data)
    scan = read_scan(tmp_path / "x.nii", quirks=REFERENCE)
    assert np.isnan(scan.volume.data[1, 2, 3])
    assert "1 of 243600 voxels (0.00041 %) is NaN or infinite and kept" in scan.warnings[0]
    assert np.isnan(conform(scan, ConformConfig(quirks=REFERENCE)).image).any()


def test_only_nan(tmp_path):
    save(tmp_path / "x.nii", np.full(BIG, np.nan, np.float32))
    refused(tmp_path / "x.nii", "no finite voxel")
    assert len(read_scan(tmp_path / "x.nii", quirks=REFERENCE).warnings) == 1


def test_all_but_nan_constant(tmp_path):
    data = np.full(BIG, 3, np.float32)
    data[0] = np.nan
    save(tmp_path / "x.nii", data)
    refused(tmp_path / "x.nii", "3 in every voxel")


# --- the geometry ----------------------------------------------------------------------------------------------------


def warnings_of(path, **options) -> str:
    return "\n".join(read_scan(path, **options).warnings)


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
@pytest.mark.parametrize(
    ("column", "value", "found"), [(0, np.nan, "NaN or infinite"), (3, np.inf, "NaN or infinite"), (1, 0.0, "singular")]
)
def test_unusable_sform(tmp_path, column, value, found, quirks):
    def spoil(header):
        for row in "xyz":
            header[f"srow_{row}"][column] = value

    save(tmp_path / "x.nii", brain(), spoil)
    refused(tmp_path / "x.nii", found, "repair the header", kind=GeometryError, quirks=quirks)


def test_sform_and_qform_conflict(tmp_path):
    def conflict(header):
        header.set_sform(oblique_affine(degrees=0), 1)
        header.set_qform(oblique_affine(degrees=0, origin=(-7, 11, 34.5)), 1)

    save(tmp_path / "x.nii", brain(), conflict, oblique_affine(degrees=0))
    scan = read_scan(tmp_path / "x.nii")
    assert scan.warnings == ("sform and qform differ by up to 30.0 mm and by 0.0 degrees; the sform is used",)
    np.testing.assert_allclose(scan.volume.affine, oblique_affine(degrees=0), atol=1e-5)


def test_forms_that_differ_by_rotation():
    turned = oblique_affine(degrees=0) @ np.diag([1, 1, 1, 1])
    angle = np.deg2rad(5)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert "by 5.0 degrees" in checks.form_conflict(checks.Forms(turned, turn @ turned), BIG)[0]


def test_forms_that_mirror_each_other(tmp_path):
    def mirror(header):
        header.set_sform(np.diag([-1.0, 1, 1, 1]), 2)
        header.set_qform(np.eye(4), 1)

    save(tmp_path / "x.nii", brain(), mirror, np.eye(4))
    assert "one mirrors the other; the sform is used" in warnings_of(tmp_path / "x.nii")


def test_float_noise_between_the_forms_is_no_conflict(tmp_path):
    def both(header):
        header.set_sform(oblique_affine((0.9, 1.1, 1.0), 33), 1)
        header.set_qform(oblique_affine((0.9, 1.1, 1.0), 33), 1)

    save(tmp_path / "x.nii", brain(), both, oblique_affine((0.9, 1.1, 1.0), 33))
    assert warnings_of(tmp_path / "x.nii") == ""


def test_no_orientation_at_all(tmp_path):
    def forget(header):
        header.set_sform(None, 0)
        header.set_qform(None, 0)

    save(tmp_path / "x.nii", brain(), forget)
    assert "stores no orientation" in warnings_of(tmp_path / "x.nii")


@pytest.mark.parametrize(("quirks", "said"), [(NATIVE, "the affine is used"), (REFERENCE, "the header decides")])
def test_voxel_size_conflict(tmp_path, quirks, said):
    def disagree(header):
        header.set_sform(np.diag([1.2, 1.2, 1.2, 1]), 1)
        header.set_qform(None, 0)
        header["pixdim"][1:4] = 1

    save(tmp_path / "x.nii", brain(), disagree, np.diag([1.2, 1.2, 1.2, 1]))
    expected = f"the header's voxel size is 1 x 1 x 1 mm, but its affine says 1.2 x 1.2 x 1.2 mm; {said}"
    assert warnings_of(tmp_path / "x.nii", quirks=quirks) == expected


@pytest.mark.parametrize("size", [0.001, 0.04, 21.0, 1000.0])
def test_absurd_voxel_size(tmp_path, size):
    save(tmp_path / "x.nii", brain(), affine=np.diag([1.0, size, 1.0, 1.0]))
    refused(tmp_path / "x.nii", f"voxels of 1 x {size:g} x 1 mm; expected 0.05 to 20 mm", kind=GeometryError)


def test_unit_that_contradicts_the_size(tmp_path):
    save(tmp_path / "x.nii", brain(), lambda header: header.set_xyzt_units("meter"))
    assert "the header's unit is meter" in warnings_of(tmp_path / "x.nii")
    assert "mm is assumed" in warnings_of(tmp_path / "x.nii")


def test_voxel_size_of_zero_without_sform(tmp_path):
    def forget(header):
        header.set_sform(None, 0)
        header.set_qform(np.eye(4), 1)
        header["pixdim"][2] = 0

    save(tmp_path / "x.nii", brain(), forget, np.eye(4))
    path = _stored_pixdim(tmp_path / "x.nii", 2, 0.0)
    refused(path, "voxels of 1 x 0 x 1 mm and no sform", kind=GeometryError)


def test_repairs_of_the_header_are_reported(tmp_path):
    save(tmp_path / "x.nii", brain())
    path = _stored_pixdim(tmp_path / "x.nii", 2, -1.0)
    assert "header repaired on reading: pixdim[1,2,3] should be positive" in warnings_of(path)


def test_repairs_belong_to_the_scan_being_read(tmp_path, caplog):
    """Two threads read at once, one a header that needs repair; only its own scan says so, and nothing is printed."""
    save(tmp_path / "good.nii", brain())
    save(tmp_path / "bad.nii", brain())
    _stored_pixdim(tmp_path / "bad.nii", 2, -1.0)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: warnings_of(tmp_path / name), ["good.nii", "bad.nii"] * 8))
    assert found[::2] == [""] * 8
    assert all(text.startswith("header repaired") for text in found[1::2])
    assert caplog.records == []
    imageglobals.logger.warning("something else")
    assert len(caplog.records) == 1


def _stored_pixdim(path: Path, index: int, value: float) -> Path:
    """Change one entry of pixdim in the file itself, past nibabel's checks."""
    content = bytearray(path.read_bytes())
    offset = 76 + 4 * index
    content[offset : offset + 4] = np.array(value, "<f4").tobytes()
    path.write_bytes(content)
    return path


def test_unreadable_qform_beside_a_good_sform(tmp_path):
    path = save(tmp_path / "x.nii", brain(), lambda header: header.set_qform(oblique_affine(), 1))
    content = bytearray(path.read_bytes())
    content[256:268] = np.array([3.0, 3.0, 3.0], "<f4").tobytes()
    path.write_bytes(content)
    reason = "a quaternion of length 5.196, where 1 is the most"
    assert f"the qform cannot be used: {reason}; the sform is used" in warnings_of(path)
    content[254:256] = bytes(2)
    path.write_bytes(content)
    refused(path, f"{reason} and no sform", kind=GeometryError)


def test_sheared_axes(tmp_path):
    affine = np.eye(4)
    affine[1, 2] = np.tan(np.deg2rad(10))
    save(tmp_path / "x.nii", brain(), affine=affine)
    assert "the axes are sheared by 10.0 degrees" in warnings_of(tmp_path / "x.nii")


def test_small_field_of_view(tmp_path):
    write_nifti(tmp_path / "x.nii", phantom(shape=(60, 30, 60)))
    assert "the field of view of 60 x 30 x 60 mm is smaller than a brain" in warnings_of(tmp_path / "x.nii")


@pytest.mark.parametrize("degrees", [0, 12, 40])
def test_left_handed_and_oblique_axes_are_fine(tmp_path, degrees):
    source = reoriented(phantom((0.9, 1.0, 1.1), BIG, degrees), (2, 0, 1), (True, False, False))
    assert np.linalg.det(source.affine[:3, :3]) < 0
    assert warnings_of(write_nifti(tmp_path / "x.nii.gz", source)) == ""


def test_shape_that_would_not_fit_in_memory(tmp_path):
    path = save(tmp_path / "x.nii", brain())
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([30000] * 3, "<i2").tobytes()
    path.write_bytes(content)
    refused(path, "needs about 201165.7 GiB (30000 x 30000 x 30000 voxels)", "crop the scan")


def test_memory_budget(tmp_path):
    path = write_nifti(tmp_path / "x.nii", phantom(shape=BIG))
    refused(path, "expected at most 0.0 GiB", memory_bytes=1_000_000)
    read_scan(path, memory_bytes=2_000_000)


def test_one_slice_goes_all_the_way(tmp_path):
    path = write_nifti(tmp_path / "x.nii", phantom((1.0, 1.0, 5.0), (60, 70, 1)))
    result = conform(read_scan(path), ConformConfig())
    assert result.record.grid_shape == (60, 70, 5)
    assert result.image.max() == 1
