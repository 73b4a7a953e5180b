"""The output folder is one of ours: files of the same names that others wrote there would be lost."""

from __future__ import annotations

import os
from pathlib import Path

from synthseg_core.bids.description import CODE_NAME
from synthseg_core.errors import UsageError

# What every version writes in these files.
_MARKS = {"dataset_description.json": f'"{CODE_NAME}"', "README.md": f"Made by {CODE_NAME}"}


def require_own_output(output: Path, dataset: Path) -> None:
    """Refuse the folder of the scans, and folders that somebody else describes.

    Raises
    ------
    UsageError
        If files that are not ours would be replaced.
    """
    found = "the folder of the scans" if _same(output, dataset) else _foreign(output)
    if found:
        raise UsageError(
            output,
            found=found,
            expected="a folder of its own for the results",
            remedy="choose another output folder, such as derivatives/synthseg in the dataset",
        )


def _same(output: Path, dataset: Path) -> bool:
    return os.path.realpath(output) == os.path.realpath(dataset)


def _foreign(output: Path) -> str:
    """Name the first file that others wrote; empty if there is none."""
    names = (name for name, mark in _MARKS.items() if mark not in _text(output / name, mark))
    return next((f"a {name} that {CODE_NAME} did not write" for name in names), "")


def _text(path: Path, absent: str) -> str:
    """Return what a file says; ``absent`` if it is not there or says nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") or absent
    except OSError:
        return absent
