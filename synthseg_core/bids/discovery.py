"""Find the scans of a BIDS dataset or of a plain folder, fast and without loading a dataset library.

Nothing is dropped in silence: what looks like a scan and cannot be taken comes back with the reason. Datasets have
tens of thousands of folders, so each is listed once, paths stay text, and what follows ``sub-01_ses-2_`` in a name is
judged once for all scans that share it.

What to look for among the images of a dataset.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from synthseg_core.bids.ignore import is_ignored, read_bidsignore
from synthseg_core.bids.names import UNNAMED_SUFFIX, ScanName, label_from, parse_name
from synthseg_core.bids.scan_row import ScanRow, file_problem, legible, named_row, nameless_row, without_clashes
from synthseg_core.errors import InputError
from synthseg_core.system.paths import is_allowed, is_folder
from synthseg_core.system.settings import known_mapping

LAYOUTS = ("auto", "bids", "folder", "table")
# Anatomical contrasts of BIDS 1.11.1; quantitative maps can be asked for by name.
SUFFIXES = ("T1w", "T2w", "T2starw", "FLAIR", "PDw", "inplaneT1", "inplaneT2", "FLASH", "UNIT1")
BIDS_EXTENSIONS = (".nii.gz", ".nii")
FOLDER_EXTENSIONS = (*BIDS_EXTENSIONS, ".mgz")


@dataclass(frozen=True)
class Search:
    """What to look for.

    Parameters
    ----------
    layout
        ``bids``, ``folder``, ``table``, or ``auto``: a table where the input is a file, BIDS where there is a
        ``dataset_description.json`` or a ``sub-`` folder.
    suffixes
        Suffixes that are taken from a BIDS dataset.
    datatypes
        Folders that are searched in a BIDS dataset.
    exclude
        Folders that are left out of a plain folder's search, such as the output.
    path_column
        Column of a table that holds the paths; ``None``: ``path``, or the only one that looks like it.
    filter_file
        BIDS filter file, JSON or YAML; with one, pybids searches.
    database
        Folder of a saved pybids database, which is made if it is not there; with one, pybids searches.
    derivatives
        Derivative datasets that pybids searches too.
    """

    layout: str = "auto"
    suffixes: tuple[str, ...] = SUFFIXES
    datatypes: tuple[str, ...] = ("anat",)
    exclude: tuple[Path, ...] = ()
    path_column: str | None = None
    filter_file: Path | None = None
    database: Path | None = None
    derivatives: tuple[Path, ...] = ()


_COMPLEX_PARTS = ("phase", "real", "imag")
_LABEL = re.compile(r"[0-9a-zA-Z+]+")
# Keys that stand before or at the place of ``ses``: what follows cannot be judged alone.
_LEADING = ("tpl", "ses")


@dataclass(frozen=True)
class _Level:
    """A ``sub-`` or ``ses-`` folder.

    Parameters
    ----------
    path
        Relative to the dataset.
    session
        With ``ses-``; empty for the participant's own folder.
    """

    path: str
    participant: str
    session: str = ""

    @property
    def prefix(self) -> str:
        """How the names of files that belong here begin."""
        return f"{self.participant}_{self.session}_" if self.session else f"{self.participant}_"

    @property
    def is_regular(self) -> bool:
        """Whether names that begin with the prefix can be names of scans at all."""
        labels = (self.participant, self.session) if self.session else (self.participant,)
        return all(_LABEL.fullmatch(label[4:]) for label in labels)


def discover(root: Path, search: Search) -> list[ScanRow]:
    """Return a row for each image below ``root`` that is or looks like a scan, sorted by path.

    Raises
    ------
    InputError
        If ``root`` is no folder.
    """
    require_dataset(root)
    root = root.absolute()
    as_bids = search.layout == "bids" or (search.layout == "auto" and looks_like_bids(root))
    found = _bids_rows(str(root), search) if as_bids else _folder_rows(root, search)
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
    if (root / "dataset_description.json").exists():
        return True
    with os.scandir(root) as entries:
        return any(entry.name.startswith("sub-") and entry.is_dir() for entry in entries)


def is_derivative(folder: Path) -> bool:
    """Say whether a folder is a derivative dataset: what others made of scans."""
    return known_mapping(folder / "dataset_description.json").get("DatasetType") == "derivative"


def placed_row(root: str, path: str, name: ScanName) -> ScanRow:
    """Return the row of an image whose name is known; ``path``, relative to ``root``, has to be where it belongs."""
    if name.folder == path.rpartition("/")[0]:
        return named_row(name, path, f"{root}/{path}")
    return nameless_row(path, f"{root}/{path}", f"the name belongs in {name.folder}; move or rename the file")


def scan_name(file_name: str, extensions: tuple[str, ...], datatype: str) -> ScanName:
    """Return the name of a scan; ``InputError`` if the file has none by BIDS, or another extension."""
    parsed = parse_name(file_name)
    if parsed.extension.lower() not in extensions:
        raise InputError(
            file_name,
            found=f"the extension {parsed.extension}",
            expected=" or ".join(extensions),
            remedy="rename the file",
        )
    return ScanName(parsed.entities, parsed.suffix, datatype)


def bids_name(path: str) -> ScanName | None:
    """Return the name of a file outside of BIDS datasets, if it is one of BIDS."""
    try:
        return scan_name(path.rpartition("/")[2], FOLDER_EXTENSIONS, "anat")
    except InputError:
        return None


def path_label(path: str) -> str:
    """Return the letters and digits of a scan's path, extension aside, as a label; empty if there are none."""
    extension = next((end for end in FOLDER_EXTENSIONS if path.lower().endswith(end)), "")
    return label_from(path[: len(path) - len(extension)])


def _is_wanted(name: ScanName, search: Search) -> bool:
    return name.suffix in search.suffixes and name.entities.get("part") not in _COMPLEX_PARTS


def _bids_rows(root: str, search: Search) -> Iterator[ScanRow]:
    rules = read_bidsignore(Path(root))
    for row in _dataset_rows(root, search):
        if not (rules and is_ignored(row.path, rules)):
            yield row


def _dataset_rows(root: str, search: Search) -> Iterator[ScanRow]:
    """Search ``sub-*/[ses-*/]<datatype>``: a fixed depth, so that links to folders cannot loop."""
    with os.scandir(root) as entries:
        subjects = [entry.name for entry in entries if entry.name.startswith("sub-") and _is_folder(entry)]
    for subject in subjects:
        yield from _rows_or_problem(root, _Level(subject, subject), search)


def _rows_or_problem(root: str, level: _Level, search: Search, datatype: str = "") -> Iterator[ScanRow]:
    """List one folder; what cannot be listed costs nothing but itself."""
    path = f"{level.path}/{datatype}" if datatype else level.path
    try:
        with os.scandir(f"{root}/{path}") as entries:
            content = {entry.name: entry for entry in entries}
    except OSError as error:
        yield _unreadable(Path(root), error)
        return
    if datatype:
        yield from _datatype_rows(root, level, search, datatype, content)
    else:
        yield from _level_rows(root, level, search, content)


def _level_rows(root: str, level: _Level, search: Search, content: Mapping[str, os.DirEntry[str]]) -> Iterator[ScanRow]:
    for name, entry in content.items():
        if name in search.datatypes and _is_folder(entry):
            yield from _rows_or_problem(root, level, search, name)
        elif name.startswith("ses-") and not level.session and _is_folder(entry):
            yield from _rows_or_problem(root, _Level(f"{level.path}/{name}", level.participant, name), search)
        elif _is_image(name, BIDS_EXTENSIONS):
            row = _misplaced_row(root, f"{level.path}/{name}", search)
            if row:
                yield row


def _bids_row(root: str, path: str, search: Search) -> ScanRow | None:
    """Judge one image by its path relative to the dataset; ``None`` if nobody asked for it."""
    folder, _, file_name = path.rpartition("/")
    try:
        name = scan_name(file_name, BIDS_EXTENSIONS, folder.rpartition("/")[2])
    except InputError as error:
        return nameless_row(path, f"{root}/{path}", f"{error.found}; {error.remedy}")
    return placed_row(root, path, name) if _is_wanted(name, search) else None


def _misplaced_row(root: str, path: str, search: Search) -> ScanRow | None:
    """Report an image that lies beside the folders of the data types."""
    try:
        name = scan_name(path.rpartition("/")[2], BIDS_EXTENSIONS, search.datatypes[0])
    except InputError as error:
        return nameless_row(path, f"{root}/{path}", f"{error.found}; {error.remedy}")
    problem = f"not in the folder of a data type; move the file to {name.folder}"
    return nameless_row(path, f"{root}/{path}", problem) if _is_wanted(name, search) else None


def _datatype_rows(
    root: str, level: _Level, search: Search, datatype: str, content: Mapping[str, os.DirEntry[str]]
) -> Iterator[ScanRow]:
    folder, prefix = f"{level.path}/{datatype}", level.prefix
    regular = level.is_regular
    for name, entry in content.items():
        if not _is_image(name, BIDS_EXTENSIONS):
            continue
        tail = _tail(name[len(prefix) :], datatype, search) if regular and name.startswith(prefix) else None
        path = f"{folder}/{name}"
        row = _tailed_row(root, level, path, tail) if tail else _bids_row(root, path, search)
        if row:
            yield row if row.problem or _is_regular(entry) else replace(row, problem=file_problem(row.source))


@dataclass(frozen=True)
class _Tail:
    """What a name has after participant and session.

    Parameters
    ----------
    stem
        The same part of the stem.
    wanted
        Whether such scans are searched.
    """

    stem: str
    suffix: str
    wanted: bool


@lru_cache(maxsize=4096)
def _tail(text: str, datatype: str, search: Search) -> _Tail | None:
    """Judge the end of a file name; ``None`` if that cannot be done without its beginning."""
    try:
        name = scan_name(f"sub-0_{text}", BIDS_EXTENSIONS, datatype)
    except InputError:
        return None
    if any(key in name.entities for key in _LEADING):
        return None
    return _Tail(name.stem.removeprefix(f"sub-0/{datatype}/sub-0"), name.suffix, _is_wanted(name, search))


def _tailed_row(root: str, level: _Level, path: str, tail: _Tail) -> ScanRow | None:
    if not tail.wanted:
        return None
    scan = f"{path.rpartition('/')[0]}/{level.prefix[:-1]}{tail.stem}"
    return ScanRow(scan, level.participant, level.session, tail.suffix, path, f"{root}/{path}")


def _folder_rows(root: Path, search: Search) -> Iterator[ScanRow]:
    unreadable: list[OSError] = []
    seen = {os.path.realpath(folder) for folder in search.exclude}
    for folder, subfolders, names in os.walk(root, onerror=unreadable.append, followlinks=True):
        here = os.path.realpath(folder)
        if here in seen or (folder != str(root) and is_derivative(Path(folder))):
            subfolders.clear()
            continue
        seen.add(here)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            if _is_image(name, FOLDER_EXTENSIONS):
                source = f"{folder}/{name}"
                yield _folder_row(Path(source).relative_to(root).as_posix(), source)
    yield from (_unreadable(root, error) for error in unreadable)


def _folder_row(path: str, source: str) -> ScanRow:
    """Name a file by BIDS where its name is BIDS, otherwise by the letters and digits of its path."""
    name = bids_name(path)
    if name is None:
        label = path_label(path)
        if not label:
            return nameless_row(path, source, "no letter or digit in the name; rename the file")
        name = ScanName({"sub": label}, UNNAMED_SUFFIX)
    return named_row(name, path, source, file_problem(source))


def _unreadable(root: Path, error: OSError) -> ScanRow:
    path = Path(os.path.relpath(error.filename or root, root)).as_posix()
    return nameless_row(
        path, str(root / path), f"a folder that cannot be read ({error.strerror}); correct its permissions"
    )


def _is_image(name: str, extensions: tuple[str, ...]) -> bool:
    return name.lower().endswith(extensions) and not name.startswith(".")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_regular(entry: os.DirEntry[str]) -> bool:
    """Say whether an entry is a file; only links cost a look at the disk."""
    try:
        return entry.is_file()
    except OSError:
        return False
