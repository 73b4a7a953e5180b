"""Read and write scans (``.nii``, ``.nii.gz``, ``.mgz``, ``.npz``): the only door to nibabel."""

from __future__ import annotations

import gzip
import logging
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel import imageglobals
from nibabel.filebasedimages import ImageFileError
from nibabel.freesurfer.mghformat import MGHError
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from numpy.typing import DTypeLike

from synthseg_core.errors import GeometryError, InputError
from synthseg_core.images import checks
from synthseg_core.images.affines import Shape3, Size3, check_affine, voxel_size
from synthseg_core.images.formats import check_file, extension
from synthseg_core.images.npz import NpzArray
from synthseg_core.images.volume import Volume
from synthseg_core.images.volume_choice import Choice, choose_like_reference, choose_volume
from synthseg_core.quirks import NATIVE, Quirks
from synthseg_core.system import memory
from synthseg_core.system.timing import current

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


@dataclass(frozen=True)
class Scan:
    """One three-dimensional scan as read from a file.

    Parameters
    ----------
    volume
        Voxels (I, J, K) as float64, scaled, and the affine.
    header_voxel_size
        Edge lengths in mm that the header states beside its affine.
    source
        The file.
    header
        nibabel header, opaque to the rest of the package, copied when results are written; ``None`` for ``.npz``.
    warnings
        What is doubtful about the file, one line each.
    """

    volume: Volume
    header_voxel_size: Size3
    source: Path
    header: Any = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placement:
    """Shape and placement of a volume as its header states them.

    Parameters
    ----------
    shape
        Voxels along the file's own axes.
    affine : (4, 4)
        Voxel centre to world, mm, RAS+.
    """

    shape: Shape3
    affine: np.ndarray


@dataclass(frozen=True)
class _Opened:
    """A file whose header was read and whose voxels were not yet.

    Parameters
    ----------
    compressed_kind
        Image class of a gzip-compressed file, by which its voxels are read.
    read_as_whole
        Bytes that have to be read before the chosen voxels can be taken from them.
    """

    path: Path
    array: Any
    affine: np.ndarray
    header: Any
    header_voxel_size: Size3
    unit: str = "mm"
    compressed_kind: Any = None
    warnings: tuple[str, ...] = ()
    read_as_whole: int = 0


def read_scan(
    path: Path | str, *, volume: int | None = None, quirks: Quirks = NATIVE, memory_bytes: int | None = None
) -> Scan:
    """Read one scan and check it.

    Parameters
    ----------
    path
        NIfTI, MGZ or NPZ.
    volume
        Which volume of a 4-D file, counted from 0; ``None``: the first, with a warning when there are several.
    quirks
        What to copy from the reference implementation.
    memory_bytes
        Budget for the voxels; ``None``: the machine's memory.

    Raises
    ------
    InputError
        If the file cannot be read or holds no usable scan; a :class:`GeometryError` if its placement is unusable.
    """
    path = Path(path)
    opened = _open(path)
    choose = choose_like_reference if quirks.last_axis_channels else choose_volume
    choice = choose(tuple(opened.array.shape), volume, path)
    needed = 8 * choice.voxels + opened.read_as_whole
    memory.require(needed, path, f"{' x '.join(map(str, choice.shape))} voxels", memory_bytes)
    warnings = [*opened.warnings, *choice.warnings, *_check_geometry(opened, choice, quirks)]
    with current().phase("read"):
        data = _values(opened, choice)
    warnings += _check_values(data, path, quirks)
    return Scan(Volume(data, opened.affine), opened.header_voxel_size, path, opened.header, tuple(warnings))


def read_placement(path: Path | str) -> Placement:
    """Read shape and affine of a volume from its header alone, for checks that come before the voxels are read.

    Raises
    ------
    InputError
        If the file cannot be read or holds no single 3-D volume; a :class:`GeometryError` if its placement is unusable.
    """
    opened, choice = _open_single(Path(path))
    return Placement(choice.shape, opened.affine)


def count_volumes(path: Path | str) -> int:
    """Return how many three-dimensional volumes a file holds, from its header; ``InputError`` if it is no scan."""
    path = Path(path)
    stored = tuple(_open(path).array.shape)
    choose_volume(stored, None, path)
    return math.prod(stored[3:])


def read_stored(path: Path | str) -> Volume:
    """Read a volume in the number type of its file: for label maps, where a scan's checks of contrast do not apply.

    Raises
    ------
    InputError
        As :func:`read_placement`, or if the voxels are damaged.
    """
    path = Path(path)
    opened, choice = _open_single(path)
    memory.require(8 * choice.voxels, path, f"{' x '.join(map(str, choice.shape))} voxels")
    with current().phase("read"):
        return Volume(_values(opened, choice, dtype=None), opened.affine)


def _open_single(path: Path) -> tuple[_Opened, Choice]:
    """Open a file that must hold exactly one 3-D volume at a usable place."""
    opened = _open(path)
    choice = choose_volume(tuple(opened.array.shape), None, path)
    if choice.warnings:
        raise InputError(
            path,
            found=f"an image of shape {' x '.join(map(str, opened.array.shape))}",
            expected="one 3-D volume",
            remedy="extract the volume that is meant",
        )
    check_affine(opened.affine, path)
    return opened, choice


def _open(path: Path) -> _Opened:
    check_file(path)
    with _reading(path):
        return _open_npz(path) if extension(path) == ".npz" else _open_image(path)


def _open_npz(path: Path) -> _Opened:
    array = NpzArray(path)
    _check_dtype(array.dtype, path)
    return _Opened(path, array, np.eye(4), None, (1.0, 1.0, 1.0), read_as_whole=array.nbytes)


def _open_image(path: Path) -> _Opened:
    with _header_repairs() as repairs:
        image = nib.load(path, mmap=False)  # type: ignore[call-arg]
    if isinstance(image, nib.Nifti1Image):
        unit, sizes = str(image.header.get_xyzt_units()[0]), image.header["pixdim"][1:4]
        warnings = _check_forms(image, path)
    elif isinstance(image, nib.MGHImage):
        unit, sizes, warnings = "mm", image.header["delta"], []
    else:
        raise InputError(
            path,
            found=f"a file of kind {type(image).__name__}",
            expected="a NIfTI or MGH volume",
            remedy="convert it to NIfTI",
        )
    _check_dtype(image.get_data_dtype(), path)
    i, j, k = (float(size) for size in sizes)
    notes = (*(f"header repaired on reading: {text}" for text in repairs), *warnings)
    kind = None if extension(path) == ".nii" else type(image)
    return _Opened(path, image.dataobj, np.array(image.affine, np.float64), image.header, (i, j, k), unit, kind, notes)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what readers raise on damaged files into one clear error."""
    try:
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


_repairs: ContextVar[list[str] | None] = ContextVar("_repairs", default=None)


def _collect_repair(record: logging.LogRecord) -> bool:
    """Keep what nibabel says while this thread reads a header; let pass what it says otherwise."""
    messages = _repairs.get()
    if messages is None:
        return True
    messages.append(record.getMessage())
    return False


imageglobals.logger.addFilter(_collect_repair)


@contextmanager
def _header_repairs() -> Iterator[list[str]]:
    """Collect what nibabel says while it repairs a header, instead of printing it."""
    messages: list[str] = []
    token = _repairs.set(messages)
    try:
        yield messages
    finally:
        _repairs.reset(token)


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


def _check_forms(image: Any, path: Path) -> list[str]:
    """Compare the two placements of a NIfTI header; refuse one that holds no voxel size at all."""
    header = image.header
    i, j, k = (*image.shape, 1, 1, 1)[:3]
    try:
        forms = checks.Forms(header.get_sform(coded=True)[0], header.get_qform(coded=True)[0])
    except (ValueError, HeaderDataError) as error:
        # Without an sform the loader itself would have failed.
        return [f"the qform cannot be read ({error}); the sform is used"]
    with image.file_map["image"].get_prepare_fileobj("rb") as file:
        stored = type(header).from_fileobj(file, check=False)
    if forms.sform is None and not np.all(np.abs(stored["pixdim"][1:4]) > 0):
        raise GeometryError(
            path,
            found="a voxel size of 0 and no sform",
            expected="positive voxel sizes",
            remedy="correct the voxel sizes in the header",
        )
    return checks.form_conflict(forms, (i, j, k))


def _check_geometry(opened: _Opened, choice: Choice, quirks: Quirks) -> list[str]:
    check_affine(opened.affine, opened.path)
    sizes_mm = voxel_size(opened.affine)
    warnings = checks.size_conflict(opened.header_voxel_size, sizes_mm)
    if warnings:
        warnings = [f"{warnings[0]}; the {'header decides' if quirks.header_decides_resampling else 'affine is used'}"]
    if not quirks.accept_featureless:
        warnings += checks.check_voxel_size(sizes_mm, opened.unit, opened.path)
    return warnings + checks.shear(opened.affine) + checks.coverage(choice.shape, sizes_mm)


def _check_values(data: np.ndarray, path: Path, quirks: Quirks) -> list[str]:
    if quirks.propagate_nan:
        return checks.report_non_finite(data) + checks.no_contrast(data)
    warnings = checks.replace_non_finite(data, path)
    checks.check_contrast(data, path)
    return warnings


def _values(opened: _Opened, choice: Choice, dtype: DTypeLike | None = np.float64) -> np.ndarray:
    """Read the chosen voxels, scaled; a compressed file is read to its end, where its checksum is."""
    with _reading(opened.path), np.errstate(invalid="ignore"):
        if opened.compressed_kind is None:
            return _converted(opened.array, choice, dtype)
        # What is repaired in the header was collected when it was read first.
        with gzip.open(opened.path) as stream, _header_repairs():
            data = _converted(opened.compressed_kind.from_stream(stream).dataobj, choice, dtype)
            while stream.read(_CHUNK_BYTES):
                pass
            return data


def _converted(array: Any, choice: Choice, dtype: DTypeLike | None) -> np.ndarray:
    return np.array(array[choice.index], dtype=dtype, copy=None)
