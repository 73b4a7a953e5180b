"""Headers of MGH files: FreeSurfer's meaning where they store no geometry, and a clear word on unknown voxel types."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader

from synthseg_core.errors import InputError
from synthseg_core.images.checks import NO_ORIENTATION
from synthseg_core.images.nifti import repaired_by_nibabel

_TYPE_AT, _FLAG_AT = 20, 28
_TYPES = {0: "uchar", 1: "int", 3: "float", 4: "short", 10: "ushort"}
_OTHER_TYPES = {2: "long", 5: "bitmap", 6: "tensor", 7: "float complex", 8: "double complex", 9: "RGB"}
# What FreeSurfer takes where goodRASFlag is not set: voxels of 1 mm, the first axis to the left, the second down, the
# third to the front, the centre at the origin (https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat).
# One row an axis; the default of nibabel 5.4.2 is the transpose, which puts heads upside down.
_DEFAULT_AXES = ((-1, 0, 0), (0, 0, -1), (0, 1, 0))


def read_mgh(stream: BinaryIO, path: object) -> tuple[Any, list[str]]:
    """Read the header of an MGH file, with FreeSurfer's default geometry if it stores none.

    Parameters
    ----------
    stream
        The file, uncompressed, at its beginning; left anywhere.
    path
        For messages.

    Returns
    -------
    tuple
        Header of nibabel, and what is doubtful about it, one line each.

    Raises
    ------
    InputError
        If the voxels are of a type that is not read; ``ValueError`` or an error of nibabel if the header is none.
    """
    start = stream.read(_FLAG_AT + 2)
    if len(start) < _FLAG_AT + 2:
        raise ValueError("no MGH header")
    code = int.from_bytes(start[_TYPE_AT : _TYPE_AT + 4], "big", signed=True)
    if code not in _TYPES:
        raise InputError(
            path,
            found=f"voxels of MGH type {code} ({_OTHER_TYPES.get(code, 'unknown')})",
            expected=f"{', '.join(_TYPES.values())}",
            remedy="convert them, for instance with mri_convert -odt float",
        )
    stream.seek(0)
    header = MGHHeader.from_fileobj(stream, check=False)
    notes = repaired_by_nibabel(header)
    if int.from_bytes(start[_FLAG_AT:], "big", signed=True) > 0:
        return header, notes
    header["goodRASFlag"], header["delta"], header["Pxyz_c"] = 1, 1, 0
    header["Mdc"] = np.array(_DEFAULT_AXES)
    return header, [*notes, f"{NO_ORIENTATION.format(how='goodRASFlag is 0')}; the default of FreeSurfer is used"]
