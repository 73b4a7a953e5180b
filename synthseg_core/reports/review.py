"""What people thought of segmentations: the table that the group page saves, read back for tables and pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.bids.names import report_name
from synthseg_core.errors import InputError
from synthseg_core.system.tables import ABSENT, read_tsv

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
        return self.by_name.get(report_name(stem), Review("", ""))


def read_reviews(folder: Path) -> Reviews:
    """Read the table of a derivative dataset.

    Parameters
    ----------
    folder
        Derivative dataset; without the table nothing was reviewed.
    """
    path = folder / REVIEW_NAME
    if not path.is_file():
        return Reviews({})
    try:
        rows = read_tsv(path, _COLUMNS)
    except InputError as error:
        return Reviews({}, (str(error),))
    found, unknown = {}, []
    for row in rows:
        mark, note = (_text(row.get(column, ABSENT)) for column in ("review", "note"))
        if mark and mark not in MARKS:
            unknown.append(f"{row['report']}: {mark!r}")
            continue
        found[row["report"]] = Review(mark, note)
    return Reviews(found, tuple(_fault(path, one) for one in unknown))


def _text(cell: str) -> str:
    return "" if cell == ABSENT else cell


def _fault(path: Path, found: str) -> str:
    expected = f"{', '.join(MARKS)} or {ABSENT}"
    return str(InputError(path, found=f"the review of {found}", expected=expected, remedy="correct that line"))
