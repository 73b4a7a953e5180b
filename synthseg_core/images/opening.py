"""Open image files and read their voxels: the only door to nibabel on the way in.

Floating-point errors of numpy are silent in here, since headers may hold any number: what comes out of them is checked.
"""

from __future__ import annotations

import gzip
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.freesurfer.mghformat import MGHError
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from numpy.typing import DTypeLike

from synthseg_core.errors import InputError
from synthseg_core.images.affines import Size3, triple
from synthseg_core.images.formats import check_file, extension
from synthseg_core.images.intensities import impossible_values
from synthseg_core.images.mgh import read_mgh
from synthseg_core.images.nifti import read_nifti
from synthseg_core.images.npz import NpzArray

# What nibabel, numpy, gzip, zipfile and zlib were seen to raise on files with bytes changed at random or cut off.
_READ_ERRORS = (
    ImageFileError,
    HeaderDataError,
    HeaderTypeError,
    MGHError,
    OSError,
    EOFError,
    zlib.error,
    zipfile.BadZipFile,
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,
    tokenize.TokenError,
)
_CHUNK_BYTES = 2**20
_COMPRESSED = (".nii.gz", ".mgz")


@dataclass(frozen=True)
class Opened:
    """A file whose header was read and whose voxels were not yet.

    Parameters
    ----------
    path
        The file.
    array
        What gives its voxels, scaled, when it is indexed; of a compressed file, only their shape and type.
    affine : (4, 4)
        Voxel centre to world, mm, RAS+; not checked.
    header
        Of nibabel, mended; ``None`` for ``.npz``.
    header_voxel_size
        Edge lengths in mm that the header states beside its affine.
    warnings
        What was mended in the header or is doubtful about it, one line each.
    impossible
        Values that stand for "not measured" in such a file, as its voxels are read.
    read_as_whole
        Bytes that have to be read before the chosen voxels can be taken from them.
    """

    path: Path
    array: Any
    affine: np.ndarray
    header: Any
    header_voxel_size: Size3
    warnings: tuple[str, ...] = ()
    impossible: tuple[float, ...] = ()
    read_as_whole: int = 0


def open_image(path: Path) -> Opened:
    """Read the header of an image.

    Raises
    ------
    InputError
        If the file is no image, or its voxels are not one real number each.
    """
    check_file(path)
    with _reading(path):
        return _open_npz(path) if extension(path) == ".npz" else _open_image(path)


def read_voxels(
    opened: Opened, index: tuple[slice | int, ...], dtype: DTypeLike | None = np.float64
) -> tuple[np.ndarray, list[str]]:
    """Read voxels, scaled; a compressed file is read to its end, where its checksum is.

    Parameters
    ----------
    opened
        From :func:`open_image`.
    index
        Which part of the stored array.
    dtype
        Number type of the result; ``None``: that of the file, or what scaling makes of it.

    Returns
    -------
    tuple
        The voxels, and what is doubtful about the file, one line each.

    Raises
    ------
    InputError
        If the file is damaged or truncated.
    """
    with _reading(opened.path):
        if extension(opened.path) not in _COMPRESSED:
            return _converted(opened.array, index, dtype), []
        with gzip.open(opened.path) as stream:
            data = _converted(ArrayProxy(stream, _spec(opened.array), mmap=False), index, dtype)
            return data, _read_to_the_end(stream)


def read_channels(opened: Opened) -> Iterator[np.ndarray]:
    """Yield the volumes (I, J, K) float32 of a 4-D image, scaled, one after the other.

    A compressed file is unpacked once, to its end, and no more than one volume is held.

    Parameters
    ----------
    opened
        From :func:`open_image`.

    Raises
    ------
    InputError
        If the file is damaged or truncated.
    """
    with _reading(opened.path), _stream_of(opened) as stream:
        array = ArrayProxy(stream, _spec(opened.array), mmap=False)
        for channel in range(array.shape[3]):
            yield _converted(array, (slice(None),) * 3 + (channel,), np.float32)
        if isinstance(stream, gzip.GzipFile):
            _read_to_the_end(stream)


def _stream_of(opened: Opened) -> Any:
    return gzip.open(opened.path) if extension(opened.path) in _COMPRESSED else opened.path.open("rb")


def _open_npz(path: Path) -> Opened:
    array = NpzArray(path)
    _check_dtype(array.dtype, path)
    values = impossible_values(array.dtype)
    return Opened(path, array, np.eye(4), None, (1.0, 1.0, 1.0), impossible=values, read_as_whole=array.nbytes)


def _open_image(path: Path) -> Opened:
    kind = extension(path)
    mgh = kind in (".mgz", ".mgh")
    with gzip.open(path) if kind in _COMPRESSED else path.open("rb") as stream:
        header, notes = (read_mgh if mgh else read_nifti)(stream, path)  # type: ignore[arg-type]
    _check_dtype(header.get_data_dtype(), path)
    sizes = triple(float(size) for size in header["delta" if mgh else "pixdim"][0 if mgh else 1 :][:3])
    affine = np.array(header.get_best_affine(), np.float64)
    array = _whole_numbers(ArrayProxy(str(path), header, mmap=False))
    if not mgh:
        header["vox_offset"] = 0  # true of this file only; results get their own
    values = impossible_values(array.dtype, float(array.slope), float(array.inter))
    return Opened(path, array, affine, header, sizes, tuple(notes), values)


def _whole_numbers(array: ArrayProxy) -> ArrayProxy:
    """Return the same with a shape that can be multiplied: that of MGH files is of 32 bits, which overflow."""
    return ArrayProxy(array.file_like, _spec(array), mmap=False)


def _spec(array: ArrayProxy) -> tuple[Any, ...]:
    return tuple(int(n) for n in array.shape), array.dtype, array.offset, array.slope, array.inter


def _converted(array: Any, index: tuple[slice | int, ...], dtype: DTypeLike | None) -> np.ndarray:
    return np.array(array[index], dtype=dtype, copy=None)


def _read_to_the_end(stream: gzip.GzipFile) -> list[str]:
    """Read what is left, so that checksums are compared; return a note if something other than gzip data follows."""
    try:
        while stream.read(_CHUNK_BYTES):
            pass
    except gzip.BadGzipFile as error:
        # Raised for a checksum too, in other words.
        if not str(error).startswith("Not a gzipped file"):
            raise
        return ["something follows the compressed data; it is left aside, as gunzip does"]
    return []


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what readers raise on damaged files into one clear error."""
    try:
        with np.errstate(all="ignore"):
            yield
    except InputError:
        raise
    except _READ_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            path,
            found=f"a damaged or truncated file ({reason})",
            expected="a complete scan",
            remedy="copy or convert it again from its source",
        ) from error
    except MemoryError as error:
        raise InputError(
            path,
            found="more voxels than the memory can hold",
            expected="a scan",
            remedy="check the shape in the header, or use a machine with more memory",
        ) from error


def _check_dtype(stored: DTypeLike, path: Path) -> None:
    """Refuse voxels that are not one real number each."""
    dtype = np.dtype(stored)
    if dtype.fields is not None:
        found, remedy = "colour (RGB) voxels", "use the greyscale scan, not a rendering of it"
    elif dtype.kind == "c":
        found, remedy = "complex voxels", "use the magnitude image"
    elif dtype.kind not in "biuf":
        found, remedy = f"voxels of type {dtype}", "convert the scan to numbers"
    else:
        return
    raise InputError(path, found=found, expected="one real number a voxel", remedy=remedy)
