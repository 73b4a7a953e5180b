"""The scan table: one row an image, made once by discovery and read by everything that comes after."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from urllib.parse import quote

from synthseg_core.bids.discovery import discover, require_dataset
from synthseg_core.bids.listed_scans import EXTENSIONS as TABLE_EXTENSIONS
from synthseg_core.bids.listed_scans import table_rows
from synthseg_core.bids.names import parse_stem
from synthseg_core.bids.pybids_search import pybids_rows
from synthseg_core.bids.scan_row import COLUMNS, ScanRow
from synthseg_core.bids.search import LAYOUTS, Search
from synthseg_core.bids.tally import Tally
from synthseg_core.errors import InputError, UsageError
from synthseg_core.system.atomic import write_text
from synthseg_core.system.paths import is_file
from synthseg_core.system.tables import ABSENT, format_cells, read_tsv

# Columns that tables of users, and those of earlier versions, may lack.
_OPTIONAL = ("model", "ct")
_FLAGS = ("", "true", "false")
# The labels of a stem, which do not matter for whether it is one.
_STEM_LABELS = re.compile(
    r"sub-(?P<sub>[0-9a-zA-Z+]+)/(?:ses-(?P<ses>[0-9a-zA-Z+]+)/)?(?P<datatype>[^/]+)"
    r"/sub-(?P=sub)(?P<session>_ses-(?P=ses))?(?P<rest>_.*)"
)
_cells = attrgetter(*COLUMNS)


def find_scans(root: Path, search: Search, tally: Tally | None = None) -> tuple[ScanRow, ...]:
    """Find the scans of a BIDS dataset, of a plain folder, or of those that a table lists.

    Parameters
    ----------
    root
        The input.
    search
        What to look for.
    tally
        Is told what is left out.

    Raises
    ------
    InputError
        If ``root`` is not there or cannot be read as what it is to be.
    UsageError
        If the search contradicts itself.
    """
    if search.layout not in LAYOUTS:
        raise InputError(
            "layout", found=search.layout, expected=" or ".join(LAYOUTS), remedy="correct the configuration"
        )
    tally = Tally() if tally is None else tally
    if search.by_pybids and (_is_table(root, search.layout) or search.layout == "folder"):
        raise UsageError(
            root,
            found="a filter, a database or derivatives for what is no BIDS dataset",
            expected="these for BIDS datasets only",
            remedy="leave them out, or correct input and layout",
        )
    if _is_table(root, search.layout):
        return tuple(table_rows(root, search.path_column, search.results, tally))
    return tuple(pybids_rows(root, search, tally) if search.by_pybids else discover(root, search, tally))


def require_input(root: Path, layout: str = "auto") -> None:
    """Refuse an input that is not there with ``InputError``, before anything is written."""
    if not _is_table(root, layout):
        require_dataset(root)
    elif not is_file(root):
        raise InputError(root, found="no such file", expected="a table of scans", remedy="check the path")


def home_of(root: Path) -> Path:
    """Return the folder that paths in the table are relative to: the dataset, or where the user's table lies."""
    return root.parent if is_file(root) else root


def source_uri(row: ScanRow) -> str:
    """Return how sidecars name a scan: by a BIDS URI, or by its place where it is not part of the dataset."""
    return Path(row.source).as_uri() if Path(row.path).is_absolute() else f"bids:raw:{quote(row.path)}"


def write_table(path: Path, rows: Iterable[ScanRow]) -> None:
    """Write the table atomically; a file that says the same already is left alone."""
    text = format_cells(([cell or ABSENT for cell in _cells(row)] for row in rows), COLUMNS)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def read_table(path: Path) -> tuple[ScanRow, ...]:
    """Read a table.

    Raises
    ------
    InputError
        If columns are missing, a stem is not one, or two usable scans share it.
    """
    table = read_tsv(path, required=[column for column in COLUMNS if column not in _OPTIONAL])
    rows = tuple(ScanRow(*["" if (cell := row.get(key, "")) == ABSENT else cell for key in COLUMNS]) for row in table)
    for row in rows:
        _check(row, path)
    repeated = [stem for stem, count in Counter(row.scan for row in rows if row.usable).items() if count > 1]
    if repeated:
        raise InputError(
            path, found=f"{', '.join(repeated)} more than once", expected="each scan once", remedy="remove the copies"
        )
    return rows


def select(
    rows: Iterable[ScanRow],
    participants: Collection[str] = (),
    sessions: Collection[str] = (),
    *,
    exclude_participants: Collection[str] = (),
) -> tuple[ScanRow, ...]:
    """Return the rows of the given labels (without ``sub-``, ``ses-``); no labels: all of them."""
    wanted, unwanted = ({f"sub-{label}" for label in labels} for labels in (participants, exclude_participants))
    visits = {f"ses-{label}" for label in sessions}
    return tuple(
        row
        for row in rows
        if (not wanted or row.participant_id in wanted)
        and row.participant_id not in unwanted
        and (not visits or row.session_id in visits)
    )


def absent_labels(
    rows: Collection[ScanRow], participants: Iterable[str] = (), sessions: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return those of the given labels that no row has, with ``sub-`` and ``ses-``."""
    known = {row.participant_id for row in rows} | {row.session_id for row in rows}
    asked = [*(f"sub-{label}" for label in participants), *(f"ses-{label}" for label in sessions)]
    return tuple(label for label in asked if label not in known)


def _is_table(root: Path, layout: str) -> bool:
    return layout == "table" or (layout == "auto" and root.suffix.lower() in TABLE_EXTENSIONS and is_file(root))


def _check(row: ScanRow, path: Path) -> None:
    if row.scan:
        _check_stem(row.scan)
    if row.usable and not (row.scan and os.path.isabs(row.source)):  # noqa: PTH117 - thousands of rows
        raise InputError(
            path,
            found=f"no stem or no absolute source for {row.path}",
            expected="both, or a problem that says why the scan is left out",
            remedy="delete the table; it is made again from the dataset",
        )
    if row.ct not in _FLAGS:
        raise InputError(
            path, found=f"{row.ct!r} as ct of {row.path}", expected="true, false or n/a", remedy="correct the table"
        )


def _check_stem(stem: str) -> None:
    """Refuse what is no stem; scans that differ in participant and session only are looked at once."""
    match = _STEM_LABELS.fullmatch(stem)
    if match is None or not _is_stem(_shape(match)):
        parse_stem(stem)  # complains about the stem itself, not about its shape


def _shape(match: re.Match[str]) -> str:
    """Return a stem with other labels."""
    folder = f"sub-0/ses-0/{match['datatype']}" if match["ses"] else f"sub-0/{match['datatype']}"
    return f"{folder}/sub-0{'_ses-0' if match['session'] else ''}{match['rest']}"


@lru_cache(maxsize=4096)
def _is_stem(text: str) -> bool:
    try:
        parse_stem(text)
    except InputError:
        return False
    return True
