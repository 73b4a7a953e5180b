"""Headers of NIfTI files as the world writes them: what is wrong is mended and told in a line, or refused.

nibabel reads the fields. What it would stumble over, or warn about in words for programmers, is looked at here first.
"""

from __future__ import annotations

import logging
import struct
from typing import Any, BinaryIO

import numpy as np
from nibabel.nifti1 import Nifti1Extension, Nifti1Header
from nibabel.nifti2 import Nifti2Header

from synthseg_core.errors import GeometryError, InputError
from synthseg_core.images import checks
from synthseg_core.images.affines import Size3, affine_fault, triple, voxel_size

_MAGIC_1, _MAGIC_2 = (b"n+1\0", b"ni1\0"), (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")
_SPACE_UNITS = {0: "unknown", 1: "meter", 2: "mm", 3: "micron"}
_MM = 2
_TIME_UNITS = (0, 8, 16, 24, 32, 40, 48)
_CIFTI_EXTENSION = 32
# Components that were rounded to three decimals make the quaternion this much too long at most.
_LONGEST_QUATERNION, _ROUNDED_QUATERNION = 1.001, 1.00001
_ERROR_LEVEL = 40  # nibabel's own: the level from which on it refuses a header


def read_nifti(stream: BinaryIO, path: object) -> tuple[Any, list[str]]:
    """Read the header of a single-file NIfTI; it comes back in mm, its best affine being the one to use.

    Parameters
    ----------
    stream
        The file, uncompressed, at its beginning; left anywhere.
    path
        For messages.

    Returns
    -------
    tuple
        Header of nibabel, and what was mended in it, one line each.

    Raises
    ------
    InputError
        If the header describes no image that can be placed; ``ValueError`` or an error of nibabel if there is none.
    """
    header, extended = _stored(stream)
    notes = _find_voxels(header, stream, extended)
    if any(extension.get_code() == _CIFTI_EXTENSION for extension in header.extensions):
        raise InputError(
            path, found="a CIFTI file", expected="a NIfTI or MGH volume", remedy="give the volume that it came from"
        )
    stated = triple(float(size) for size in header["pixdim"][1:4])
    header["pixdim"][1:4] = [edge or 1.0 for edge in stated]  # what nibabel would say about it is said below
    notes += [*repaired_by_nibabel(header), *_known_units(header)]
    notes += _usable_forms(header, stated, path)
    notes += _in_mm(header)
    return header, [*notes, *_usable_edges(header, stated)]


def _stored(stream: BinaryIO) -> tuple[Any, bool]:
    """Return the header as it is stored, and whether it says that extensions follow."""
    start = stream.read(Nifti1Header.sizeof_hdr)
    if start[-4:] in _MAGIC_1:
        kind: Any = Nifti1Header
    elif start[4:12] in _MAGIC_2:
        kind = Nifti2Header
        start += stream.read(kind.sizeof_hdr - len(start))
    else:
        raise ValueError("no NIfTI header")
    header = kind(start, check=False)
    header["magic"] = kind.single_magic  # that of a pair of files means nothing in one
    return header, stream.read(4)[:1] not in (b"", b"\0")


def _find_voxels(header: Any, stream: BinaryIO, extended: bool) -> list[str]:
    """Set where the voxels begin, and keep the extensions that come before them."""
    first, stated = header.single_vox_offset, float(header["vox_offset"])
    if stated >= first:
        notes, block = [], stream.read(int(stated) - first) if extended else b""
    else:
        block = _before_voxels(header, stream) if extended else b""
        header["vox_offset"] = first + len(block)
        notes = [
            f"vox_offset is {stated:g}, inside the header; the voxels are read from byte {first + len(block)}, where "
            "the header ends"
        ]
    extensions = _extensions(block, header.endianness)
    if extensions is None:
        notes.append("the extension of the header is damaged; it is left out")
    header.extensions.extend(extensions or [])
    return notes


def _before_voxels(header: Any, stream: BinaryIO) -> bytes:
    """Return the bytes of extensions that leave just the voxels behind them; ``ValueError`` if that cannot be told."""
    content = stream.read()
    voxels = int(np.prod([int(n) for n in header.get_data_shape()])) * header.get_data_dtype().itemsize
    length = len(content) - voxels
    if length < 0 or _extensions(content[:length], header.endianness) is None:
        raise ValueError(
            f"vox_offset is {float(header['vox_offset']):g}, and what follows the header is neither {voxels} bytes of "
            "voxels nor extensions before them"
        )
    return content[:length]


def _extensions(block: bytes, order: str) -> list[Nifti1Extension] | None:
    """Take a block of extensions apart; ``None`` if it is none. A size that is no multiple of 16 does no harm."""
    found: list[Nifti1Extension] = []
    while len(block) >= 8:
        size, code = struct.unpack(f"{order}ii", block[:8])
        if not 8 <= size <= len(block):
            return found if not any(block) else None  # padding
        found.append(Nifti1Extension(code, block[8:size].rstrip(b"\0")))
        block = block[size:]
    return None if any(block) else found


class _Collector(logging.Handler):
    """Keeps messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def repaired_by_nibabel(header: Any) -> list[str]:
    """Let nibabel repair a header; return what it says about that instead of having it printed."""
    collector, logger = _Collector(), logging.Logger("header")
    logger.addHandler(collector)
    header.check_fix(logger=logger, error_level=_ERROR_LEVEL)
    # Every offset is fine here.
    told = (message for message in collector.messages if "not SPM compatible" not in message)
    return [f"header repaired on reading: {message}" for message in told]


def _known_units(header: Any) -> list[str]:
    """Replace unit codes that do not exist: of length by mm, with a note, and of time by none."""
    code = int(header["xyzt_units"])
    space, time = code & 7, code & 56
    known = space if space in _SPACE_UNITS else _MM
    header["xyzt_units"] = known + (time if time in _TIME_UNITS else 0)
    return [] if known == space else [f"the header's unit of length has the unknown code {space}; mm is assumed"]


def _usable_forms(header: Any, stated: Size3, path: object) -> list[str]:
    """Leave only those of the two placements in a header that can be used; compare them if both can.

    What nobody can use goes on to whoever refuses such affines.
    """
    notes, quaternion_fault = _shorten_quaternion(header)
    sform, sform_fault = _sform(header)
    qform, qform_fault = (None, quaternion_fault) if quaternion_fault else _qform(header, stated)
    if sform is None and (qform_fault or not np.all(np.abs(stated) > 0)):
        raise GeometryError(
            path,
            found=f"{qform_fault or f'voxels of {checks.sizes_text(stated)}'} and no sform",
            expected="voxel sizes, origin and orientation",
            remedy="repair the header (sform/qform) or convert the scan again",
        )
    if sform_fault:
        if qform is None:
            return []
        header["sform_code"] = 0
        return [*notes, f"the sform cannot be used: {sform_fault}; the qform is used"]
    if qform_fault:
        header["qform_code"] = header["quatern_b"] = header["quatern_c"] = header["quatern_d"] = 0
        return [f"the qform cannot be used: {qform_fault}; the sform is used"]
    shape = triple((*header.get_data_shape(), 1, 1, 1)[:3])
    return [*notes, *checks.form_conflict(checks.Forms(sform, qform), shape)]


def _shorten_quaternion(header: Any) -> tuple[list[str], str | None]:
    """Bring a quaternion that rounding made longer than 1 to length 1; return a note, and why it is none at all."""
    names = ("quatern_b", "quatern_c", "quatern_d")
    length = float(np.linalg.norm([float(header[name]) for name in names]))
    if int(header["qform_code"]) == 0 or not length > 1:
        return [], None
    if length > _LONGEST_QUATERNION:
        return [], f"a quaternion of length {length:.4g}, where 1 is the most"
    for name in names:
        # In float32 the length may still be 1e-7 above 1, which nibabel takes for 1.
        header[name] = float(header[name]) / length
    told = length > _ROUNDED_QUATERNION
    return [f"the quaternion of the qform has length {length:.5f} and was shortened to 1"] if told else [], None


def _sform(header: Any) -> tuple[np.ndarray | None, str | None]:
    """Return the sform, ``None`` where the header has none, and what is wrong with it."""
    affine = header.get_sform(coded=True)[0]
    return affine, None if affine is None else affine_fault(affine)


def _qform(header: Any, stated: Size3) -> tuple[np.ndarray | None, str | None]:
    """Return the qform, ``None`` where the header has none that can be used, and what is wrong with it."""
    if int(header["qform_code"]) == 0:
        return None, None
    if not np.all(np.abs(stated) > 0):
        return None, f"voxels of {checks.sizes_text(stated)}"
    affine = header.get_qform()
    fault = affine_fault(affine)
    return (None, fault) if fault else (affine, None)


def _in_mm(header: Any) -> list[str]:
    """Bring lengths in metres or micrometres to mm."""
    unit = _SPACE_UNITS[int(header["xyzt_units"]) & 7]
    factor, notes = checks.unit_in_mm(voxel_size(header.get_best_affine()), unit)
    if factor != 1:
        header["pixdim"][1:4] *= factor
        for name in ("qoffset_x", "qoffset_y", "qoffset_z"):
            header[name] *= factor
        for name in ("srow_x", "srow_y", "srow_z"):
            header[name] = header[name] * factor
    if unit != "unknown":
        header["xyzt_units"] = (int(header["xyzt_units"]) & ~7) + _MM
    return notes


def _usable_edges(header: Any, stated: Size3) -> list[str]:
    """Put the voxel sizes of the affine where the header has none."""
    if np.all(np.isfinite(stated)) and all(stated):
        return []
    header["pixdim"][1:4] = voxel_size(header.get_best_affine())
    return [f"the header's voxel size is {checks.sizes_text(stated)}; that of its affine is used"]
