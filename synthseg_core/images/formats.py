"""Recognise files before a reader stumbles over them: missing, empty, pointers, pages, and wrong extensions."""

from __future__ import annotations

from pathlib import Path

from synthseg_core.errors import InputError
from synthseg_core.system.file_identity import FileKind, kind_of_file

READABLE = (".nii.gz", ".nii", ".mgz", ".npz")
_EXPECTED = {".nii.gz": FileKind.GZIP, ".mgz": FileKind.GZIP, ".npz": FileKind.ZIP, ".nii": FileKind.NIFTI}
# As messages about scans call them: the others by the name that they have, or not at all.
_NAMES = {
    FileKind.GZIP: "gzip data",
    FileKind.ZIP: "a zip archive",
    FileKind.EMPTY: "an empty file (0 bytes)",
    **{kind: kind.value for kind in (FileKind.NIFTI, FileKind.DICOM, FileKind.WEB_PAGE)},
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
        found = kind_of_file(path) if kind in READABLE else None
    except OSError as error:
        raise InputError(
            path,
            found=f"no access ({error.strerror or error})",
            expected="a readable file",
            remedy="correct the path or the permissions",
        ) from error
    if found is None:
        raise InputError(
            path,
            found=f"the extension {path.suffix or 'none'}",
            expected=" or ".join(READABLE),
            remedy="convert the scan, for instance with dcm2niix",
        )
    if found is not _EXPECTED[kind]:
        name = _NAMES.get(found, "unknown content")
        raise InputError(path, found=name, expected=_NAMES[_EXPECTED[kind]], remedy=_remedy(found))


def _remedy(found: FileKind) -> str:
    pointer = "fetch the content (datalad get, git annex get, git lfs pull)"
    return {
        FileKind.ANNEX_POINTER: pointer,
        FileKind.LFS_POINTER: pointer,
        FileKind.GZIP: "rename the file to end in .gz, or decompress it",
        FileKind.NIFTI: "rename the file to end in .nii",
        FileKind.WEB_PAGE: "download the file again; a server answered with a page",
        FileKind.DICOM: "convert the series with dcm2niix",
    }.get(found, "copy or convert the scan again from its source")


def _check_exists(path: Path) -> None:
    if path.is_dir():
        found, remedy = "a folder", "give the path of one scan"
    elif path.is_symlink() and not path.exists():
        found, remedy = "a symbolic link to nothing", "fetch the content (datalad get) or correct the link"
    elif not path.exists():
        found, remedy = "no such file", "check the path"
    elif not path.is_file():
        found, remedy = "a device or pipe", "give the path of a file"
    else:
        return
    raise InputError(path, found=found, expected="a scan", remedy=remedy)
