"""What people thought of segmentations: the table that the group page saves, read back for tables and pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.bids.names import report_name
from synthseg_core.errors import InputError
from synthseg_core.system.delimited import EMPTY_CELLS, Record, folded, read_records, western
from synthseg_core.system.tables import ABSENT
from synthseg_core.system.words import listed

REVIEW_NAME = "desc-review_scans.tsv"
"""Lies at the top of a derivative dataset; nobody but its users writes it."""
MARKS = {
    "accept": "looked at, and good enough",
    "doubt": "looked at, and doubtful",
    "reject": "looked at, and not to be used",
}
_COLUMNS = ("report", "review")


@dataclass(frozen=True)
class Review:
    """What somebody thought of a segmentation.

    Parameters
    ----------
    mark
        A word of :data:`MARKS`, or empty.
    note
        Free text.
    """

    mark: str
    note: str


_NONE = Review("", "")


@dataclass(frozen=True)
class Reviews:
    """All that is known of a dataset.

    Parameters
    ----------
    by_name
        By the name of the page about a scan.
    faults
        What could not be used, one line each; it costs no other line.
    """

    by_name: Mapping[str, Review]
    faults: tuple[str, ...] = ()

    def of(self, stem: str) -> Review:
        """Return the review of a scan; ``stem`` as in :mod:`synthseg_core.bids.names`."""
        return self.by_name.get(report_name(stem), _NONE)

    def of_others(self, names: Iterable[str]) -> dict[str, Review]:
        """Return the reviews of scans that are not among ``names`` of pages, by the name of theirs."""
        known = {*names}
        return {name: review for name, review in self.by_name.items() if name not in known}

    def notes(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return what is to be told: the faults, and reviews of scans that are not among ``names`` of pages."""
        others = self.of_others(names)
        gone = [f"{REVIEW_NAME}: reviews of scans that are not here: {listed(others)}"] if others else []
        return (*self.faults, *gone)


def read_reviews(folder: Path) -> Reviews:
    """Read the table of a derivative dataset, as the group page or a spreadsheet saved it.

    Parameters
    ----------
    folder
        Derivative dataset; without the table nothing was reviewed.
    """
    path = folder / REVIEW_NAME
    if not path.is_file():
        return Reviews({})
    try:
        columns, records = _records(path)
    except InputError as error:
        return Reviews({}, (str(error),))
    found: dict[str, Review] = {}
    faults: list[str] = []
    for record in records:
        try:
            name, review = _read(path, columns, record)
            if found.setdefault(name, review) != review:
                found[name] = _NONE
                raise _fault(path, record, f"another review of {name} than above", "one of each scan")
        except InputError as error:
            faults.append(str(error))
    return Reviews({name: review for name, review in found.items() if review != _NONE}, tuple(faults))


def _records(path: Path) -> tuple[list[str], list[Record]]:
    """Return names of the columns, and the lines below them."""
    header, *records = read_records(path) or [Record(1, ())]
    columns = [folded(cell) for cell in header.cells]
    if any(columns.count(column) != 1 for column in _COLUMNS):
        raise InputError(
            path,
            found=f"the columns {', '.join(header.cells) or 'none'}",
            expected=f"one each of {' and '.join(_COLUMNS)}",
            remedy="save the review from the group page again",
        )
    return columns, records


def _read(path: Path, columns: Sequence[str], record: Record) -> tuple[str, Review]:
    """Return the name of a page and its review."""
    if record.problem:
        raise _fault(path, record, record.problem, "one double quote at each end of a cell, or none")
    if any(record.cells[len(columns) :]):
        raise _fault(path, record, f"{len(record.cells)} cells", f"{len(columns)}, as in the first line")
    texts = [western(cell) for cell in record.cells]
    if None in texts:
        raise _fault(path, record, "characters that cannot be read", "UTF-8")
    cells = dict(zip(columns, (" ".join((text or "").split()) for text in texts), strict=False))
    if not (name := cells.get("report", "").removesuffix(".html")):
        raise _fault(path, record, "no report", "the name of a page in the column report")
    mark, note = ("" if cells.get(key, "") in EMPTY_CELLS else cells[key] for key in ("review", "note"))
    if mark.lower() not in ("", *MARKS):
        raise _fault(path, record, f"the review of {name}: {mark!r}", f"{', '.join(MARKS)} or {ABSENT}")
    return name, Review(mark.lower(), note)


def _fault(path: Path, record: Record, found: str, expected: str) -> InputError:
    return InputError(path, found=f"in line {record.line} {found}", expected=expected, remedy="correct that line")
