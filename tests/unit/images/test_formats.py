"""Files that cannot be scans are recognised before a reader opens them, and called by what they are."""

from __future__ import annotations

import gzip
import os

import pytest

from synthseg_core.errors import InputError
from synthseg_core.images.formats import check_file, extension

MGH = (1).to_bytes(4, "big") + bytes(280)
NIFTI = (348).to_bytes(4, "little") + bytes(344)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.nii.gz", ".nii.gz"),
        ("a.NII.GZ", ".nii.gz"),
        ("a.b.nii", ".nii"),
        ("A.MGZ", ".mgz"),
        ("a.mgh", ".mgh"),
        ("a.nii.GZ", ".GZ"),  # mixed cases: nibabel does not open it either
        ("a.img", ".img"),
        ("a", ""),
    ],
)
def test_extension(tmp_path, name, kind):
    assert extension(tmp_path / name) == kind


@pytest.mark.parametrize(
    ("name", "content"), [("a.nii", NIFTI), ("a.nii.gz", gzip.compress(NIFTI, mtime=0)), ("a.npz", b"PK\x03\x04")]
)
def test_what_can_be_a_scan(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    check_file(path)


@pytest.mark.parametrize(
    ("name", "content", "found", "remedy"),
    [
        ("a.nii", gzip.compress(NIFTI, mtime=0), "found gzip data", "end in .gz"),
        ("a.nii.gz", NIFTI, "found uncompressed NIfTI", "end in .nii"),
        ("a.nii.gz", b"", "an empty file \\(0 bytes\\)", "copy or convert the scan again"),
        ("a.nii.gz", b"<!DOCTYPE html><html>", "a web page", "download the file again"),
        ("a.nii.gz", b"/annex/objects/SHA256E-s1--0", "git-annex pointer", "datalad get"),
        ("a.nii.gz", b"version https://git-lfs.github.com/spec/v1", "git-lfs pointer", "git lfs pull"),
        ("a.nii", bytes(128) + b"DICM", "a DICOM file", "dcm2niix"),
        ("a.mgz", b"\x00\x01\x02\xff" * 9, "unknown content", "copy or convert"),
        ("a.img", NIFTI, "the extension .img", "make one file of the pair"),
        ("a.hdr", NIFTI, "the extension .hdr", "make one file of the pair"),
        ("a", NIFTI, "the extension none", "rename the file to end in .nii"),
        ("a.txt", b"hello", "the extension .txt", "give a scan, or convert it to .nii.gz"),
        ("a.Nii.Gz", gzip.compress(NIFTI, mtime=0), "the extension .Gz", "rename it to end in .nii.gz"),
        ("a.001", bytes(128) + b"DICM", "the extension .001", "dcm2niix"),
        ("a.DCM", b"no preamble", "the extension .DCM", "dcm2niix"),
        ("a.nrrd", b"NRRD0004", "the extension .nrrd", "3D Slicer"),
        ("a.mgz", MGH, "uncompressed MGH; expected gzip data", "rename the file to end in .mgh"),
        (
            "a.mgh",
            gzip.compress(MGH, mtime=0),
            "gzip data; expected uncompressed MGH",
            "rename the file to end in .mgz",
        ),
    ],
)
def test_what_cannot_be_a_scan(tmp_path, name, content, found, remedy):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=found) as error:
        check_file(path)
    assert remedy in str(error.value)


def test_paths_that_lead_to_no_file(tmp_path):
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "link.nii").symlink_to(tmp_path / "gone.nii")
    os.mkfifo(tmp_path / "pipe.nii")
    expected = {
        "folder.nii": "a folder",
        "link.nii": "a symbolic link to nothing",
        "pipe.nii": "a device or pipe",
        "nobody.nii": "no such file",
    }
    for name, found in expected.items():
        with pytest.raises(InputError, match=found):
            check_file(tmp_path / name)
