"""Find the scans of a BIDS dataset or of a plain folder, fast and without loading a dataset library.

Nothing is dropped in silence: what looks like a scan and cannot be taken comes back with the reason, and what is
plainly something else is counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from synthseg_core.bids.bids_tree import BidsTree
from synthseg_core.bids.folder_tree import folder_rows
from synthseg_core.bids.ignore import read_bidsignore, without_ignored
from synthseg_core.bids.scan_row import ScanRow, legible, without_clashes
from synthseg_core.bids.search import FOLDER_EXTENSIONS, Search, is_image
from synthseg_core.bids.stray_folders import NO_PARTICIPANTS, is_derivative
from synthseg_core.bids.tally import Tally, image_in
from synthseg_core.errors import InputError
from synthseg_core.system.paths import is_allowed, is_folder


def discover(root: Path, search: Search, tally: Tally | None = None) -> list[ScanRow]:
    """Return a row for each image below ``root`` that is or looks like a scan, sorted by path.

    Parameters
    ----------
    root
        BIDS dataset or plain folder.
    search
        What to look for.
    tally
        Is told what is left out.

    Raises
    ------
    InputError
        If ``root`` is no folder.
    """
    require_dataset(root)
    tally = Tally() if tally is None else tally
    root = root.absolute()
    if search.layout == "bids" or (search.layout == "auto" and looks_like_bids(root)):
        found = without_ignored(BidsTree(str(root), search, tally).rows(), read_bidsignore(root), search, tally)
    else:
        if inside := datasets_in(root, search.exclude) if search.layout == "auto" else []:
            names = ", ".join(folder.relative_to(root).as_posix() for folder in inside)
            tally.notes.append(f"read as a plain folder; give the folder of a BIDS dataset to read it as such: {names}")
        found = folder_rows(root, search, tally)
    return sorted(without_clashes(map(legible, found)), key=lambda row: row.path)


def require_dataset(root: Path) -> None:
    """Refuse a dataset that is not there with ``InputError``."""
    if not (is_folder(root) and str(root).isprintable()):
        is_scan = os.path.isfile(root)  # noqa: PTH113 - never raises
        found = "a file" if is_scan else "no such folder"
        remedy = "give its folder, or a table that lists the scans" if is_scan else "check the path"
    elif not is_allowed(root, os.R_OK | os.X_OK):
        found, remedy = "no permission to look into it", "correct the permissions"
    else:
        return
    expected = "a BIDS dataset or a folder of scans, with a printable path"
    raise InputError(root, found=found, expected=expected, remedy=remedy)


def looks_like_bids(root: Path) -> bool:
    """Say whether a folder is a BIDS dataset, perhaps one without its description; no file is."""
    if not is_folder(root):
        return False
    return os.path.lexists(root / "dataset_description.json") or _has_participants(root)


def datasets_in(study: Path, exclude: Sequence[Path] = ()) -> list[Path]:
    """Return the raw BIDS datasets in a folder that has no participants of its own, such as ``rawdata`` of a study.

    Parameters
    ----------
    study
        The folder.
    exclude
        Folders that are none, such as the output.
    """
    if not is_folder(study) or _has_participants(study):
        return []
    beside = [one for one in _folders_of(study, exclude) if one.name not in ("derivatives", "sourcedata", "code")]
    return _raw_datasets(beside) or _raw_datasets(_folders_of(study / "sourcedata", exclude))


def dataset_of(root: Path, layout: str, exclude: Sequence[Path] = ()) -> Path:
    """Return the dataset that an input stands for: the only BIDS dataset of a study, if no other scans lie beside it.

    Parameters
    ----------
    root
        The input.
    layout
        As in :class:`Search`; only ``auto`` is interpreted.
    exclude
        Folders that do not count, such as the output.
    """
    inside = datasets_in(root, exclude) if layout == "auto" else []
    if len(inside) != 1 or any(is_image(name, FOLDER_EXTENSIONS) for name in os.listdir(root)):  # noqa: PTH208
        return root
    beside = (folder for folder in _folders_of(root, exclude) if folder != inside[0])
    others = (folder for folder in beside if folder.name not in NO_PARTICIPANTS)
    return root if any(not is_derivative(folder) and image_in(folder) for folder in others) else inside[0]


def _raw_datasets(folders: Iterable[Path]) -> list[Path]:
    return [folder for folder in folders if looks_like_bids(folder) and not is_derivative(folder)]


def _has_participants(root: Path) -> bool:
    try:
        with os.scandir(root) as entries:
            return any(entry.name.startswith("sub-") and entry.is_dir() for entry in entries)
    except OSError:
        return False


def _folders_of(root: Path, exclude: Sequence[Path]) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
    unwanted = {os.path.realpath(folder) for folder in exclude}
    place = os.path.realpath(root)
    return [root / name for name in sorted(names) if os.path.join(place, name) not in unwanted]  # noqa: PTH118
