"""Headers of NIfTI files: what is mended, what is said about it, and what is refused with which reason."""

from __future__ import annotations

import struct

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.errors import GeometryError, InputError
from synthseg_core.images.reading import read_scan
from synthseg_core.images.writing import write_volume
from synthseg_core.quirks import NATIVE, REFERENCE
from tests.phantoms.headers import SHAPE, VOXELS, nifti_bytes, write_raw
from tests.phantoms.scans import oblique_affine

AFFINE = oblique_affine((1.0, 1.2, 0.9))
ROWS = ("srow_x", "srow_y", "srow_z")
QUATERNION = ("quatern_b", "quatern_c", "quatern_d")


def _set(fields, names, value) -> None:
    for name in names:
        fields[name] = value


def _scan(folder, edit=None, *, quirks=NATIVE, name="x.nii.gz", **options):
    scan = read_scan(write_raw(folder / name, nifti_bytes(edit, **options)), quirks=quirks)
    np.testing.assert_array_equal(scan.volume.data, VOXELS)
    return scan


def _result(folder, scan):
    """A result on the scan's own grid, as other programs read it."""
    write_volume(folder / "result.nii.gz", scan.volume, like=scan, dtype=np.int32)
    return nib.load(folder / "result.nii.gz")


@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_good_headers_say_nothing(tmp_path, name, kind):
    scan = _scan(tmp_path, name=name, kind=kind)
    assert scan.warnings == ()
    np.testing.assert_allclose(scan.volume.affine, AFFINE, atol=1e-5)


# --- placement -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda fields: _set(fields, ROWS, 0), "a singular affine"),
        (lambda fields: _set(fields, ROWS, np.nan), "an affine with NaN or infinite entries"),
        (lambda fields: fields["srow_y"].__setitem__(3, np.inf), "an affine with NaN or infinite entries"),
        (lambda fields: fields.__setitem__("srow_z", fields["srow_y"]), "a singular affine"),
    ],
)
def test_unusable_sform_beside_a_good_qform(tmp_path, edit, fault, quirks):
    scan = _scan(tmp_path, edit, quirks=quirks)
    (warning,) = scan.warnings
    assert warning.startswith(f"the sform cannot be used: {fault}")
    assert warning.endswith("; the qform is used")
    np.testing.assert_allclose(scan.volume.affine, AFFINE, atol=1e-4)
    result = _result(tmp_path, scan)
    np.testing.assert_allclose(result.affine, AFFINE, atol=1e-4)
    assert (int(result.header["sform_code"]), int(result.header["qform_code"])) == (0, 1)


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda fields: _set(fields, QUATERNION[:1], np.nan), "an affine with NaN or infinite entries"),
        (lambda fields: _set(fields, ("qoffset_x",), np.inf), "an affine with NaN or infinite entries"),
        (lambda fields: _set(fields, QUATERNION, 0.7), "a quaternion of length 1.212, where 1 is the most"),
    ],
)
def test_unusable_qform_beside_a_good_sform(tmp_path, edit, fault):
    scan = _scan(tmp_path, edit)
    assert scan.warnings == (f"the qform cannot be used: {fault}; the sform is used",)
    result = _result(tmp_path, scan)
    np.testing.assert_allclose(result.affine, AFFINE, atol=1e-5)
    assert int(result.header["qform_code"]) == 0
    assert not any(np.isnan(float(result.header[name])) for name in QUATERNION)


@pytest.mark.parametrize("size", [np.nan, 0.0, -np.inf])
def test_voxel_size_that_is_none(tmp_path, size):
    """No size that is not one comes into a result."""
    scan = _scan(tmp_path, lambda fields: fields["pixdim"].__setitem__(slice(1, 4), size))
    assert scan.header_voxel_size == pytest.approx((1.0, 1.2, 0.9))
    text = " x ".join([f"{size:.4g}"] * 3) + " mm"
    assert scan.warnings[-1] == f"the header's voxel size is {text}; that of its affine is used"
    assert not any("nan mm" in line and "differ" in line for line in scan.warnings)
    np.testing.assert_allclose(_result(tmp_path, scan).header["pixdim"][1:4], (1.0, 1.2, 0.9), rtol=1e-6)


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda fields: _set(fields, QUATERNION[1:], np.nan), "an affine with NaN or infinite entries and no sform"),
        (
            lambda fields: _set(fields, QUATERNION, 2.0),
            "a quaternion of length 3.464, where 1 is .* and no sform",
        ),
        (lambda fields: fields["pixdim"].__setitem__(2, np.nan), "voxels of 1 x nan x 0.9 mm and no sform"),
    ],
)
def test_unusable_qform_alone(tmp_path, edit, found, quirks):
    def change(fields):
        fields["sform_code"] = 0
        edit(fields)

    with pytest.raises(GeometryError, match=found):
        _scan(tmp_path, change, quirks=quirks)


def test_both_forms_unusable(tmp_path):
    def change(fields):
        _set(fields, (*ROWS, *QUATERNION), np.nan)

    with pytest.raises(GeometryError, match="found an affine with NaN or infinite entries; expected finite numbers"):
        _scan(tmp_path, change)


@pytest.mark.parametrize("excess", [1e-7, 1e-6, 9e-6, 1e-4, 9e-4])
def test_quaternion_too_long_by_rounding(tmp_path, excess):
    """Half a turn about an axis: the last component is 0, and what rounding adds makes its square negative."""
    axis = np.array([0.48, 0.6, 0.64])

    def change(fields):
        fields["sform_code"] = 0
        for name, value in zip(QUATERNION, axis * (1 + excess), strict=True):
            fields[name] = value

    scan = _scan(tmp_path, change)
    turn = 2 * np.outer(axis, axis) - np.eye(3)
    np.testing.assert_allclose(scan.volume.affine[:3, :3], turn * (1.0, 1.2, 0.9), atol=2e-3)
    told = f"the quaternion of the qform has length {1 + excess:.5f} and was shortened to 1"
    assert scan.warnings == ((told,) if excess > 1e-5 else ())
    np.testing.assert_allclose(_result(tmp_path, scan).affine, scan.volume.affine, atol=1e-4)


# --- units -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
@pytest.mark.parametrize(("code", "factor", "unit"), [(1, 0.001, "meter"), (3, 1000.0, "micron")])
@pytest.mark.parametrize("form", ["sform", "qform"])
def test_lengths_in_other_units_are_read_in_mm(tmp_path, code, factor, unit, form, quirks):
    def change(fields):
        fields["xyzt_units"] = code + 8
        fields["pixdim"][1:4] *= factor
        for name in (*ROWS, "qoffset_x", "qoffset_y", "qoffset_z"):
            fields[name] *= factor
        fields["qform_code" if form == "sform" else "sform_code"] = 0

    scan = _scan(tmp_path, change, quirks=quirks)
    np.testing.assert_allclose(scan.volume.affine, AFFINE, atol=1e-4)
    assert scan.header_voxel_size == pytest.approx((1.0, 1.2, 0.9))
    assert scan.warnings == (f"the header's unit is {unit}; its lengths are read as such",)
    result = _result(tmp_path, scan)
    np.testing.assert_allclose(result.affine, AFFINE, atol=1e-4)
    assert result.header.get_xyzt_units() == ("mm", "sec")


@pytest.mark.parametrize(("code", "space"), [(7, 7), (255, 7), (4, 4), (5 + 16, 5)])
def test_unknown_unit_of_length_is_mm(tmp_path, code, space):
    scan = _scan(tmp_path, lambda fields: fields.__setitem__("xyzt_units", code))
    assert scan.warnings == (f"the header's unit of length has the unknown code {space}; mm is assumed",)
    np.testing.assert_allclose(scan.volume.affine, AFFINE, atol=1e-5)
    assert _result(tmp_path, scan).header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("code", [2 + 56, 2 + 64 + 128, 2 + 48, 8])
def test_units_of_time_do_not_matter(tmp_path, code):
    scan = _scan(tmp_path, lambda fields: fields.__setitem__("xyzt_units", code))
    assert scan.warnings == ()
    assert _result(tmp_path, scan).header.get_xyzt_units()[0] == "mm"


# --- where the voxels begin ------------------------------------------------------------------------------------------


def _extension(content: bytes, size: int | None = None) -> bytes:
    size = -(-(len(content) + 8) // 16) * 16 if size is None else size
    return b"\1\0\0\0" + struct.pack("<ii", size, 6) + content.ljust(size - 8, b"\0")


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize("offset", [0, 1, 348, 351.5, -16, np.nan])
@pytest.mark.parametrize("magic", [b"n+1", b"ni1"])
def test_offset_inside_the_header(tmp_path, offset, name, magic):
    def change(fields):
        fields["vox_offset"], fields["magic"] = offset, magic

    scan = _scan(tmp_path, change, name=name)
    assert scan.warnings == (
        f"vox_offset is {offset:g}, inside the header; the voxels are read from byte 352, where the header ends",
    )


def test_offset_inside_the_header_of_nifti_2(tmp_path):
    scan = _scan(tmp_path, lambda fields: fields.__setitem__("vox_offset", 0), kind=nib.Nifti2Header)
    assert "the voxels are read from byte 544" in scan.warnings[0]


def test_no_offset_beside_extensions(tmp_path):
    """The voxels are what is left: two extensions lie between them and the header."""
    extensions = _extension(b"first") + _extension(b"second, of three lines")[4:]
    scan = _scan(tmp_path, lambda fields: fields.__setitem__("vox_offset", 0), extension=extensions)
    assert f"are read from byte {348 + len(extensions)}" in scan.warnings[0]
    assert [e.get_content() for e in scan.header.extensions] == [b"first", b"second, of three lines"]


def test_no_offset_beside_what_is_no_extension(tmp_path):
    extension = b"\1\0\0\0" + b"no extension at all, but some bytes"
    with pytest.raises(InputError, match=r"vox_offset is 0, and what follows the header is neither \d+ bytes of"):
        _scan(tmp_path, lambda fields: fields.__setitem__("vox_offset", 0), extension=extension)


def test_pair_in_one_file_with_its_own_offset(tmp_path):
    """The magic word of a pair, but an offset that leaves room for the header."""
    assert _scan(tmp_path, lambda fields: fields.__setitem__("magic", b"ni1")).warnings == ()


@pytest.mark.parametrize("size", [16, 21, 33])
def test_extension_of_any_length(tmp_path, size, recwarn):
    scan = _scan(tmp_path, extension=_extension(b"text", size))
    assert scan.warnings == ()
    assert [extension.get_content() for extension in scan.header.extensions] == [b"text"]
    assert not recwarn.list


def test_damaged_extension_is_left_out(tmp_path):
    scan = _scan(tmp_path, extension=b"\1\0\0\0" + struct.pack("<ii", 4000, 6) + b"12345678")
    assert scan.warnings == ("the extension of the header is damaged; it is left out",)
    assert len(scan.header.extensions) == 0


def test_room_without_extension(tmp_path):
    assert _scan(tmp_path, extension=b"\1\0\0\0" + bytes(60)).warnings == ()


@pytest.mark.parametrize("room", [5, 37])
def test_any_offset_behind_the_header(tmp_path, room, capfd):
    """Nothing is said about offsets that other programs would not like, neither on reading nor on writing."""
    scan = _scan(tmp_path, extension=bytes(4 + room))
    assert scan.warnings == ()
    assert _result(tmp_path, scan).dataobj.offset == 352
    assert capfd.readouterr().err == ""


def test_other_byte_order(tmp_path):
    header = nib.Nifti1Header(nifti_bytes()[:348]).as_byteswapped(">")
    content = header.binaryblock + b"\1\0\0\0" + struct.pack(">ii", 20, 6) + b"text".ljust(12, b"\0")
    header["vox_offset"] = len(content)
    content = header.binaryblock + content[348:] + VOXELS.astype(">i2").tobytes("F")
    scan = read_scan(write_raw(tmp_path / "x.nii.gz", content))
    np.testing.assert_array_equal(scan.volume.data, VOXELS)
    assert scan.warnings == ()
    assert scan.header.extensions[0].get_content() == b"text"


def test_shape_is_kept():
    assert VOXELS.shape == SHAPE
