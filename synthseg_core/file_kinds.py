"""Recognise files before a reader stumbles over them: missing, empty, pointers, pages, and wrong extensions."""

from __future__ import annotations

from pathlib import Path

from synthseg_core.errors import InputError

READABLE = (".nii.gz", ".nii", ".mgz", ".npz")
_GZIP, _ZIP = "gzip data", "a zip archive"
_NIFTI, _PAGE, _POINTER = "uncompressed NIfTI", "a web page", "a git-annex or git-lfs pointer instead of the content"
_EXPECTED = {".nii.gz": _GZIP, ".mgz": _GZIP, ".npz": _ZIP, ".nii": _NIFTI}
_HEAD_BYTES = 512
# sizeof_hdr of NIfTI-1 and NIfTI-2 in both byte orders.
_NIFTI_STARTS = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))


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
        head = _head(path) if kind in READABLE else b""
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
            remedy="convert the scan, for instance with dcm2niix",
        )
    found = describe(head)
    if found != _EXPECTED[kind]:
        raise InputError(path, found=found, expected=_EXPECTED[kind], remedy=_remedy(found))


def describe(head: bytes) -> str:
    """Say in a few words what the first bytes of a file are."""
    start = head[:_HEAD_BYTES].lstrip().lower()
    signatures = {
        "an empty file (0 bytes)": not head,
        _POINTER: b"annex/objects/" in head or head.startswith(b"version https://git-lfs"),
        _GZIP: head.startswith(b"\x1f\x8b"),
        _ZIP: head.startswith(b"PK\x03\x04"),
        _NIFTI: head.startswith(_NIFTI_STARTS),
        "a DICOM file": head[128:132] == b"DICM",
        _PAGE: start.startswith((b"<!doctype", b"<html", b"<?xml")),
    }
    return next((name for name, matches in signatures.items() if matches), "unknown content")


def _remedy(found: str) -> str:
    return {
        _POINTER: "fetch the content (datalad get, git annex get, git lfs pull)",
        _GZIP: "rename the file to end in .gz, or decompress it",
        _NIFTI: "rename the file to end in .nii",
        _PAGE: "download the file again; a server answered with a page",
        "a DICOM file": "convert the series with dcm2niix",
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


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)
