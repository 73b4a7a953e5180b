"""NIfTI and MGH files made byte by byte, so that their headers can say anything."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.phantoms.scans import oblique_affine

SHAPE = (52, 60, 56)
VOXELS = np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.int16)


def nifti_bytes(edit=None, *, extension=b"\0\0\0\0", affine=None, kind=nib.Nifti1Header) -> bytes:
    """A single-file NIfTI of :data:`VOXELS` with sform and qform; ``edit`` gets the stored fields of the header."""
    affine = oblique_affine((1.0, 1.2, 0.9)) if affine is None else affine
    header = kind()
    header.set_data_dtype(np.int16)
    header.set_data_shape(SHAPE)
    header.set_zooms(nib.affines.voxel_sizes(affine))
    header.set_sform(affine, 1)
    header.set_qform(affine, 1)
    header.set_xyzt_units("mm")
    fields = header.structarr
    fields["magic"], fields["vox_offset"] = kind.single_magic, kind.sizeof_hdr + len(extension)
    fields["scl_slope"], fields["scl_inter"] = 1, 0
    if edit:
        edit(fields)
    return fields.tobytes() + extension + VOXELS.tobytes("F")


def write_raw(path: Path, content: bytes, behind: bytes = b"") -> Path:
    """Write bytes, compressed where the name says so; ``behind`` comes after the compressed data."""
    path.write_bytes((gzip.compress(content, mtime=0) if path.suffix in (".gz", ".mgz") else content) + behind)
    return path


def mgh_bytes(flag=1, code=4, voxels=VOXELS) -> bytes:
    """An MGH file, by the description of the format: big-endian, geometry of :func:`oblique_affine`'s axes."""
    head = np.array([1, *voxels.shape, 1, code, 0], ">i4").tobytes() + np.array(flag, ">i2").tobytes()
    numbers = [1.0, 1.2, 0.9, *oblique_affine()[:3, :3].T.ravel(), 3.0, 4.0, 5.0]
    return (head + np.array(numbers, ">f4").tobytes()).ljust(284, b"\0") + voxels.astype(">i2").tobytes("F") + bytes(20)
