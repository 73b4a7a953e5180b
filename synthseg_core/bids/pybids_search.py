"""Find scans with pybids: by the entities of a BIDS filter file, in a saved database, among derivatives.

pybids takes seconds for a thousand participants, so it is asked only where these are wanted; the scans that it names
are judged like those of our own search.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synthseg_core.bids.bids_tree import BidsTree, placed_row
from synthseg_core.bids.discovery import require_dataset
from synthseg_core.bids.filters import ANY, Query, default_query, read_queries
from synthseg_core.bids.ignore import read_bidsignore, without_ignored
from synthseg_core.bids.names import DERIVED, ScanName, label_from, parse_name
from synthseg_core.bids.scan_row import ScanRow, file_problem, folder_row, legible, nameless_row, without_clashes
from synthseg_core.bids.search import BIDS_EXTENSIONS, COMPLEX_PARTS, Search, is_image, scan_name
from synthseg_core.bids.tally import Tally
from synthseg_core.errors import InputError, UsageError
from synthseg_core.system.atomic import output_error, temporary_name
from synthseg_core.system.paths import is_allowed, real_path

DATABASE_FILE = "layout_index.sqlite"
_NO_SCANS = re.compile(r"^/(code|models|sourcedata|stimuli|derivatives)(/|$)")


def pybids_rows(root: Path, search: Search, tally: Tally | None = None) -> list[ScanRow]:
    """Return a row for each scan that pybids finds, and for each folder that cannot be searched, sorted by path.

    Parameters
    ----------
    root
        The dataset.
    search
        What to look for.
    tally
        Is told what is left out.

    Raises
    ------
    InputError
        If the dataset is not there, or the filter file or the database cannot be used.
    UsageError
        If pybids is not installed, or the filter names an entity that it does not know.
    """
    require_dataset(root)
    if find_spec("bids") is None:
        raise UsageError(
            "BIDS filters and databases",
            found="no pybids in this environment",
            expected="pybids",
            remedy="pip install 'synthseg-bids[workflow]'",
        )
    root = root.absolute()
    tally = Tally() if tally is None else tally
    queries = read_queries(search.filter_file, search) if search.filter_file else (default_query(search),)
    folders = [root, *(folder.absolute() for folder in search.derivatives)]
    found = [row for folder in folders for row in _rows_of(root, folder, search, queries, tally)]
    unique = {row.source: row for row in map(legible, [*found, *_folders_without_scans(root, search, found, tally)])}
    return sorted(without_clashes(unique.values()), key=lambda row: row.path)


def _folders_without_scans(root: Path, search: Search, found: Sequence[ScanRow], tally: Tally) -> list[ScanRow]:
    """Return the folders that our own search cannot search, and count what else it sees."""
    seen = Tally()
    rows = list(BidsTree(str(root), search, seen).rows())
    taken = {row.suffix for row in found} | {f"part-{part}" for part in COMPLEX_PARTS}
    participants = {row.participant_id for row in [*found, *rows]}
    tally.other.update({kind: count for kind, count in seen.other.items() if kind not in taken})
    tally.formats.update(seen.formats)
    tally.datatypes.update(seen.datatypes)
    tally.folders.update(seen.folders)
    tally.participants.update(seen.participants)
    tally.without.extend(label for label in seen.without if label not in participants)
    folders = [row for row in rows if not (row.scan or is_image(row.path.rpartition("/")[2], BIDS_EXTENSIONS))]
    told = {row.path for row in folders}
    closed = (path.relative_to(root).as_posix() for path in _closed_folders(root))
    problem = "a folder that may not be looked into; correct its permissions"
    more = (folder_row(path, str(root), problem) for path in closed if path.startswith("sub-") and path not in told)
    return without_ignored([*folders, *more], read_bidsignore(root), search, tally)


def _rows_of(root: Path, folder: Path, search: Search, queries: Sequence[Query], tally: Tally) -> Iterator[ScanRow]:
    """Search the dataset itself, or one of its derivatives."""
    require_dataset(folder)
    layout = _layout(folder, search, search.database if folder == root else _beside(search.database, folder))
    rules = () if folder != root else read_bidsignore(folder)
    paths = sorted({path for query in queries for path in _found(layout, query, search.filter_file)})
    relative = (Path(os.path.relpath(path, folder)).as_posix() for path in paths)
    derived = folder != root or layout.is_derivative
    found = (_row(folder, path, derived=derived) for path in relative if path.startswith("sub-"))
    for row in without_ignored(found, rules, search, tally):
        yield replace(row, path=_shown(root, row.source), problem=row.problem or _file_problem(row.source, search))


def _beside(database: Path | None, folder: Path) -> Path | None:
    return database / folder.name if database else None


def _shown(root: Path, source: str) -> str:
    return source.removeprefix(f"{root}{os.sep}").replace(os.sep, "/")


def _file_problem(source: str, search: Search) -> str:
    problem = file_problem(source)
    if problem and search.database and not os.path.lexists(source):
        return f"no such file, but in the database; delete {search.database} and it is made again"
    return problem


def _row(folder: Path, path: str, *, derived: bool) -> ScanRow:
    parent, _, file_name = path.rpartition("/")
    datatype = parent.rpartition("/")[2]
    try:
        name = derived_name(file_name, datatype) if derived else scan_name(file_name, BIDS_EXTENSIONS, datatype)
    except InputError as error:
        return nameless_row(path, f"{folder}/{path}", f"{error.found}; {error.remedy}")
    row = placed_row(str(folder), path, name)
    return replace(row, suffix=parse_name(file_name).suffix) if row.scan else row


def derived_name(file_name: str, datatype: str) -> ScanName:
    """Name an image that is a derivative itself: what sets it apart from its source goes to its suffix.

    ``sub-01_space-MNI_desc-preproc_T1w`` is known as ``sub-01_space-T1wMNIpreproc``: its segmentation lies in that
    space, and stays apart from that of ``sub-01_T1w``.
    """
    parsed = parse_name(file_name)
    own = {key: label for key, label in parsed.entities.items() if key not in DERIVED}
    marks = (label_from(label) for key, label in parsed.entities.items() if key in DERIVED)
    return ScanName(own, "".join((parsed.suffix, *marks)), datatype)


def _found(layout: Any, query: Query, filter_file: Path | None) -> list[str]:
    """Return the paths of one kind of scan."""
    from bids.layout import Query as Special

    special = {None: Special.NONE, ANY: Special.ANY}
    filters = {key: [special.get(value, value) for value in values] for key, values in query.filters.items()}
    extensions = filters.pop("extension", list(BIDS_EXTENSIONS))
    try:
        return layout.get(return_type="filename", scope="self", extension=extensions, **filters)
    except ValueError as error:
        raise UsageError(
            filter_file or "BIDS database",
            found=f"{query.name}: {str(error).split(' If you')[0].rstrip('. ')}",
            expected="entities of BIDS",
            remedy="correct the filter file",
        ) from error


def _layout(folder: Path, search: Search, database: Path | None) -> Any:
    _require_description(folder)
    if database is None:
        return _indexed(folder, search, None)
    if not (database / DATABASE_FILE).is_file():
        _make_database(folder, search, database)
    return _saved(folder, database)


def _require_description(folder: Path) -> None:
    """Refuse a description that pybids cannot read, since it would end in an error of its own; none will do."""
    path = folder / "dataset_description.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return
    except OSError as error:
        raise _bad_description(path, error.strerror or str(error)) from error
    if content and not isinstance(content, dict):
        raise _bad_description(path, f"JSON that is a {_JSON_KINDS.get(type(content), 'single value')}")


_JSON_KINDS = {list: "list", str: "text"}


def _bad_description(path: Path, found: str) -> InputError:
    remedy = "correct the file, or leave filter and database out"
    return InputError(path, found=found, expected="a JSON object, as pybids needs it", remedy=remedy)


def _indexed(folder: Path, search: Search, database: Path | None) -> Any:
    """Let pybids look at all files; what it validates we judge ourselves, with a reason."""
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    passed_by = (*search.exclude, *_closed_folders(folder))
    inside = (path.relative_to(folder).as_posix() for path in passed_by if path.is_relative_to(folder))
    ignore = [_NO_SCANS, *(re.compile(f"^/{re.escape(path)}(/|$)") for path in inside)]
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=ignore)
    config = ["bids", "derivatives"]
    return BIDSLayout(folder, validate=False, config=config, indexer=indexer, database_path=database)


def _closed_folders(folder: Path) -> list[Path]:
    """Return the folders that may not be looked into, at which pybids would stop."""
    inside = (Path(here, name) for here, names, _ in os.walk(folder) for name in names)
    return [path for path in inside if not (path.is_symlink() or is_allowed(path, os.R_OK | os.X_OK))]


def _make_database(folder: Path, search: Search, database: Path) -> None:
    """Index into a database that gets its name when it is complete."""
    temporary = temporary_name(database)
    try:
        _indexed(folder, search, temporary)
        database.mkdir(parents=True, exist_ok=True)
        (temporary / DATABASE_FILE).replace(database / DATABASE_FILE)
    except OSError as error:
        raise output_error(database, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _saved(folder: Path, database: Path) -> Any:
    from bids.layout import BIDSLayout
    from sqlalchemy.exc import SQLAlchemyError

    try:
        layout = BIDSLayout(folder, validate=False, database_path=database)
    except (SQLAlchemyError, ValueError, AttributeError) as error:
        raise _bad_database(database, f"no usable database ({' '.join(str(error).split())[:200]})", folder) from error
    if real_path(Path(layout.root)) != real_path(folder):
        raise _bad_database(database, f"a database of {layout.root}", folder)
    return layout


def _bad_database(database: Path, found: str, folder: Path) -> InputError:
    return InputError(
        database,
        found=found,
        expected=f"a pybids database of {folder}",
        remedy="delete the folder and it is made again, or choose another",
    )
