"""Naming rules of the reference command: input modes, output names, subject names; text in, text out.

The rules look for ``.nii``, ``.mgz`` and ``.npz`` anywhere in a name, as the reference does, so that scripts written
for it find the same files; capitals, which it passes over, count as well. Everything here works on text; the disk is
only looked at by :func:`scans_in_folder` and :func:`read_list`.
"""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

from synthseg_core.errors import InputError
from synthseg_core.images.formats import READABLE, extension

_MARKS = re.compile(r"\.(?:nii|mgz|npz|NII|MGZ|NPZ)")
# What a run over a folder takes; without the dot for NIfTI, as in the reference.
_FOLDER_ENDINGS = ("nii.gz", "nii", ".mgz", ".npz", "NII.GZ", "NII", ".MGZ", ".NPZ")


class InputMode(Enum):
    """What ``--i`` names."""

    IMAGE = "image"
    FOLDER = "folder"
    LIST = "text list"


def basename(path: str) -> str:
    """Return what follows the last slash; empty for ``folder/``."""
    return path.rsplit("/", 1)[-1]


def has_scan_name(path: str) -> bool:
    """Say whether the last part of a path contains a scan extension, anywhere in it."""
    return _MARKS.search(basename(path)) is not None


def input_mode(path: str) -> InputMode:
    """Tell image, folder and text list apart by the last part of the path.

    Examples
    --------
    >>> [input_mode(p).name for p in ("scans.txt", "a.nii.gz", "x.nii.extra", "study", "study.nii/")]
    ['LIST', 'IMAGE', 'IMAGE', 'FOLDER', 'FOLDER']
    """
    if basename(path).endswith(".txt"):
        return InputMode.LIST
    return InputMode.IMAGE if has_scan_name(path) else InputMode.FOLDER


def suffixed(name: str, suffix: str) -> str:
    """Insert ``_suffix`` before every scan extension of a file name.

    Examples
    --------
    >>> suffixed("sub-01.nii.gz", "synthseg")
    'sub-01_synthseg.nii.gz'
    >>> suffixed("x.nii.extra.nii.gz", "synthseg")
    'x_synthseg.nii.extra_synthseg.nii.gz'
    """
    return _MARKS.sub(lambda mark: f"_{suffix}{mark.group()}", name)


def subject_name(path: str | Path) -> str:
    """Return the first cell of a CSV row: the file name without ``.nii.gz``; other extensions stay."""
    return basename(str(path)).replace(".nii.gz", "").replace(".NII.GZ", "")


def csv_name(path: str) -> str:
    """Append ``.csv`` where it is missing."""
    return path if path.endswith(".csv") else f"{path}.csv"


def without_extension(path: Path) -> Path:
    """Strip the scan extension that a path ends with: the prefix of the outputs of ``synthseg dataset``."""
    kind = extension(path)
    return path.with_name(path.name[: -len(kind)]) if kind in READABLE else path


def scans_in_folder(folder: Path) -> list[Path]:
    """Return the scans of a folder, sorted by name, hidden files and subfolders left out.

    Raises
    ------
    InputError
        If the folder cannot be read.
    """
    try:
        candidates = [path for path in folder.iterdir() if path.name.endswith(_FOLDER_ENDINGS)]
        return sorted(path for path in candidates if not path.name.startswith(".") and not path.is_dir())
    except OSError as error:
        raise InputError(
            folder,
            found=f"no access ({error.strerror})",
            expected="a folder that can be read",
            remedy="correct the permissions",
        ) from error


def read_list(path: Path) -> list[str]:
    """Return the lines of a text list; empty lines are dropped, nothing else is stripped.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    except OSError as error:
        raise InputError(
            path,
            found=f"no readable list ({error.strerror})",
            expected="a text file with one path a line",
            remedy="check the path",
        ) from error
    return [line for line in lines if line]
