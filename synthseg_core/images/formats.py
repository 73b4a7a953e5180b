"""Recognise files before a reader stumbles over them: missing, empty, pointers, pages, and wrong extensions."""

from __future__ import annotations

from pathlib import Path

from synthseg_core.errors import InputError
from synthseg_core.system.file_identity import FileKind, kind_of_file
from synthseg_core.system.paths import is_broken_link

READABLE = (".nii.gz", ".nii", ".mgz", ".mgh", ".npz")
_EXPECTED = {
    **{".nii.gz": FileKind.GZIP, ".mgz": FileKind.GZIP},
    **{".nii": FileKind.NIFTI, ".mgh": FileKind.MGH, ".npz": FileKind.ZIP},
}
_PAIR = "make one file of the pair, for instance with fslchfiletype NIFTI_GZ or nib-convert"
_DICOM = "convert the series with dcm2niix"
_CONVERSIONS = {
    **dict.fromkeys((".hdr", ".img"), _PAIR),
    **dict.fromkeys((".dcm", ".ima", ".dicom"), _DICOM),
    **dict.fromkeys((".par", ".rec"), "convert it with dcm2niix"),
    ".mnc": "convert it with mnc2nii",
    **dict.fromkeys(
        (".nrrd", ".nhdr", ".mha", ".mhd"), "convert it to .nii.gz, for instance with ITK-SNAP or 3D Slicer"
    ),
    ".head": "convert it with 3dAFNItoNIFTI",
    ".brik": "convert it with 3dAFNItoNIFTI",
    ".bz2": "decompress it",
    ".zst": "decompress it",
}
# As messages about scans call them: the others by the name that they have, or not at all.
_NAMES = {
    FileKind.GZIP: "gzip data",
    FileKind.ZIP: "a zip archive",
    FileKind.EMPTY: "an empty file (0 bytes)",
    **{kind: kind.value for kind in (FileKind.NIFTI, FileKind.MGH, FileKind.DICOM, FileKind.WEB_PAGE)},
    **{kind: kind.value for kind in (FileKind.ANNEX_POINTER, FileKind.LFS_POINTER)},
}


def extension(path: Path) -> str:
    """Return the extension in lower case, ``.nii.gz`` as one; what mixes cases, nibabel does not open either."""
    known = (kind for kind in READABLE if path.name.endswith((kind, kind.upper())))
    return next(known, path.suffix)


def check_file(path: Path) -> None:
    """Refuse a file that cannot be a scan, saying what it is.

    Raises
    ------
    InputError
        If the path leads to no file, or its first bytes are not what the extension promises.
    """
    kind = extension(path)
    try:
        _check_exists(path)
        found = kind_of_file(path)
    except OSError as error:
        raise InputError(
            path,
            found=f"no access ({error.strerror or error})",
            expected="a readable file",
            remedy="correct the path or the permissions",
        ) from error
    if kind not in READABLE:
        raise InputError(
            path,
            found=f"the extension {path.suffix or 'none'}",
            expected=" or ".join(READABLE),
            remedy=_CONVERSIONS.get(path.suffix.lower()) or _remedy_for_a_name(found),
        )
    if found is not _EXPECTED[kind]:
        name = _NAMES.get(found, "unknown content")
        raise InputError(path, found=name, expected=_NAMES[_EXPECTED[kind]], remedy=_remedy(found, kind))


def _remedy_for_a_name(found: FileKind) -> str:
    """Return what helps a file whose name says nothing, by what it is."""
    if found is FileKind.NIFTI:
        return "rename the file to end in .nii"
    if found is FileKind.GZIP:
        return "if it is a compressed NIfTI or MGH file, rename it to end in .nii.gz or .mgz"
    return _DICOM if found is FileKind.DICOM else "give a scan, or convert it to .nii.gz"


def _remedy(found: FileKind, kind: str) -> str:
    pointer = "fetch the content (datalad get, git annex get, git lfs pull)"
    if found is FileKind.GZIP and kind == ".mgh":
        return "rename the file to end in .mgz"
    return {
        FileKind.ANNEX_POINTER: pointer,
        FileKind.LFS_POINTER: pointer,
        FileKind.GZIP: "rename the file to end in .gz, or decompress it",
        FileKind.NIFTI: "rename the file to end in .nii",
        FileKind.MGH: "rename the file to end in .mgh",
        FileKind.WEB_PAGE: "download the file again; a server answered with a page",
        FileKind.DICOM: _DICOM,
    }.get(found, "copy or convert the scan again from its source")


def _check_exists(path: Path) -> None:
    if path.is_dir():
        found, remedy = "a folder", "give the path of one scan"
    elif is_broken_link(path):
        found, remedy = "a symbolic link to nothing", "fetch the content (datalad get) or correct the link"
    elif not path.exists():
        found, remedy = "no such file", "check the path"
    elif not path.is_file():
        found, remedy = "a device or pipe", "give the path of a file"
    else:
        return
    raise InputError(path, found=found, expected="a scan", remedy=remedy)
