"""Search a plain folder: every image below it, whatever its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from synthseg_core.bids.bids_tree import unreadable
from synthseg_core.bids.names import ScanName
from synthseg_core.bids.path_names import (
    bids_name,
    former_stem,
    name_from_path,
    with_former_names,
    without_mixed_people,
)
from synthseg_core.bids.scan_row import ScanRow, file_problem, named_row, nameless_row
from synthseg_core.bids.search import (
    FOLDER_EXTENSIONS,
    OTHER_DATATYPES,
    OTHER_SUFFIXES,
    Search,
    foreign_format,
    is_image,
)
from synthseg_core.bids.stray_folders import is_derivative
from synthseg_core.bids.tally import Tally


def folder_rows(root: Path, search: Search, tally: Tally) -> list[ScanRow]:
    """Return a row for each image below a folder, hidden folders aside; ``tally`` is told what is left out."""
    people: dict[str, str] = {}
    rows = without_mixed_people(list(_rows(root, search, tally, people)), people)

    def former(row: ScanRow) -> str:
        return former_stem(row) if row.path in people else ""

    return with_former_names(rows, former, search.results, tally)


def _rows(root: Path, search: Search, tally: Tally, people: dict[str, str]) -> Iterator[ScanRow]:
    errors: list[OSError] = []
    for folder, names in _folders(root, search, tally, errors):
        for name in names:
            source = f"{folder}/{name}"
            if is_image(name, FOLDER_EXTENSIONS):
                row = _row(Path(source).relative_to(root).as_posix(), source, search, tally, people)
                if row:
                    yield row
            elif kind := foreign_format(name):
                tally.formats[kind] += 1
    yield from (unreadable(str(root), error) for error in errors)


def _folders(root: Path, search: Search, tally: Tally, errors: list[OSError]) -> Iterator[tuple[str, list[str]]]:
    """Return every folder with the names in it; links are followed, but no folder is visited twice."""
    seen = {os.path.realpath(folder) for folder in search.exclude}
    for folder, subfolders, names in os.walk(root, onerror=errors.append, followlinks=True):
        here = os.path.realpath(folder)
        is_made = folder != str(root) and here not in seen and is_derivative(Path(folder))
        if is_made:
            tally.notes.append(f"a derivative dataset is left out: {os.path.relpath(folder, root)}")
        if here in seen or is_made:
            subfolders.clear()
            continue
        seen.add(here)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield folder, names


def _row(path: str, source: str, search: Search, tally: Tally, people: dict[str, str]) -> ScanRow | None:
    """Name a file by BIDS where its name is BIDS, otherwise by its path; ``None`` if it is plainly no such scan.

    Of a scan that is named after its path, ``people`` keeps the person.
    """
    name = bids_name(path)
    if name is None:
        said = name_from_path(path)
        if not said.label:
            return nameless_row(path, source, "no letter or digit in the name; rename the file")
        people[path] = said.person
        name = ScanName({"sub": said.label}, said.suffix)
    elif search.layout == "auto" and _is_other_kind(path, name):
        tally.other[name.suffix] += 1
        return None
    return named_row(name, path, source, file_problem(source))


def _is_other_kind(path: str, name: ScanName) -> bool:
    """Say whether a file with a BIDS name is no scan of anatomy, by its suffix or by its folder."""
    return name.suffix in OTHER_SUFFIXES or path.rpartition("/")[0].rpartition("/")[2] in OTHER_DATATYPES
