"""Datasets for runs of the workflow: phantoms of a few thousand voxels, and what is no scan."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.phantoms.scans import oblique_affine, phantom, write_nifti
from tests.phantoms.trees import make_tree

SHAPE = (17, 21, 15)


def t1w(subject: str) -> str:
    """Return the path of a scan in a dataset."""
    return f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz"


def stem(subject: str) -> str:
    """Return the beginning of the names of what is made of it."""
    return f"sub-{subject}/anat/sub-{subject}_space-T1w"


def write_scan(root: Path, subject: str, seed: int = 0) -> Path:
    """Write a phantom into a dataset."""
    return write_nifti(root / t1w(subject), phantom((2.0, 2.0, 2.5), shape=SHAPE, seed=seed))


def write_dataset(root: Path, *subjects: str) -> Path:
    """Write a dataset with one phantom a subject, no two alike."""
    make_tree(root, ["dataset_description.json"], b'{"Name": "x", "BIDSVersion": "1.11.1"}')
    for seed, subject in enumerate(subjects):
        write_scan(root, subject, seed)
    return root


def _content(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _array(data: np.ndarray, affine: np.ndarray | None = None) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        header = nib.Nifti1Image(data, oblique_affine((2.0, 2.0, 2.5)) if affine is None else affine).header
        nib.save(nib.Nifti1Image(data, None, header), path)

    return write


def _truncated(path: Path) -> None:
    write_nifti(path, phantom(shape=SHAPE))
    path.write_bytes(path.read_bytes()[:2000])


def _uncompressed(path: Path) -> None:
    write_nifti(path.with_suffix(""), phantom(shape=SHAPE)).rename(path)


def _unreadable(path: Path) -> None:
    write_nifti(path, phantom(shape=SHAPE)).chmod(0)


def _singular(path: Path) -> None:
    image = nib.Nifti1Image(phantom(shape=SHAPE).data, oblique_affine())
    for axis in "xyz":
        image.header[f"srow_{axis}"][1] = 0
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), None, image.header), path)


def _endless(path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header.set_data_dtype(np.float32)
    header.set_sform(oblique_affine(), 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4096)))


_NUMBERS = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
_COLOURS = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))

# Letters, as in names of subjects -> how such a file is made, and what is said of it.
BAD_SCANS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (_content(b""), "an empty file (0 bytes)"),
    "truncated": (_truncated, "a damaged or truncated file"),
    "page": (_content(b"<!DOCTYPE html><html>404</html>"), "a web page"),
    "text": (_content(b"subject,age\n1,20\n"), "unknown content"),
    "annex": (
        _content(b"/annex/objects/MD5E-s123--abc.nii.gz\n"),
        "not downloaded; fetch it, for instance 'datalad get'",
    ),
    "lfs": (
        _content(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n"),
        "not downloaded; fetch it, for instance 'git lfs pull'",
    ),
    "dicom": (_content(bytes(128) + b"DICM"), "a DICOM file"),
    "folder": (lambda path: path.mkdir(), "not a regular file"),
    "link": (lambda path: path.symlink_to("gone"), "a link to a file that is not there"),
    "plain": (_uncompressed, "uncompressed NIfTI"),
    "constant": (_array(np.full(SHAPE, 7, np.float32)), "7 in every voxel"),
    "nan": (_array(np.full(SHAPE, np.nan, np.float32)), "no finite voxel"),
    "flat": (_array(_NUMBERS[:, :, 0]), "of shape 17 x 21"),
    "colour": (_array(_COLOURS), "colour"),
    "complex": (_array(_NUMBERS.astype(np.complex64)), "complex"),
    "singular": (_singular, "singular"),
    "coarse": (_array(_NUMBERS, oblique_affine((900.0, 900.0, 900.0))), "voxels of 900 x 900 x 900 mm"),
    "endless": (_endless, "memory"),
}
if os.geteuid():  # root reads everything
    BAD_SCANS["private"] = (_unreadable, "no access (Permission denied)")


def write_bad_scans(root: Path) -> None:
    """Add one scan of each kind to a dataset, the kind as its subject."""
    for kind, (make, _) in BAD_SCANS.items():
        path = root / t1w(kind)
        path.parent.mkdir(parents=True)
        make(path)
