"""The CSV tables of the reference command: comma, CRLF, the subject first."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from synthseg_core.system.tables import append_whole, start_table

SUBJECT = "subject"


def format_row(cells: Iterable[str]) -> str:
    """Return one line of a table, CRLF included."""
    out = StringIO()
    csv.writer(out).writerow(list(cells))
    return out.getvalue()


def volume_text(volume_mm3: float, *, double: bool = False) -> str:
    """Return a volume as the reference prints it: three decimals, then the shortest text that gives the number back.

    Parameters
    ----------
    volume_mm3
        Volume, mm³; NaN gives ``nan``.
    double
        Whether the number is a float64 (the reference's sums after cropping) or a float32 (all others).

    Examples
    --------
    >>> volume_text(2237532.8049), volume_text(30337.7184), volume_text(30337.7184, double=True)
    ('2237532.8', '30337.719', '30337.718')
    """
    kind = np.float64 if double else np.float32
    # Not str(): since NumPy 2.3 it turns to exponents at 1e6 for float32.
    return np.format_float_positional(np.around(kind(volume_mm3), 3), unique=True, trim="0")


def score_text(score: float) -> str:
    """Return a QC score with four decimals."""
    return f"{score:.4f}"


@dataclass(frozen=True)
class SharedTable:
    """One table for all scans of a run: header at the start, a row as each scan finishes.

    Parameters
    ----------
    path
        The CSV file.
    columns
        Names of the columns after the subject.
    """

    path: Path
    columns: tuple[str, ...]

    def start(self) -> None:
        """Replace the file by one that holds the header only."""
        start_table(self.path, format_row([SUBJECT, *self.columns]))

    def add(self, subject: str, cells: Sequence[str]) -> None:
        """Append the row of one scan, whole or not at all."""
        append_whole(self.path, format_row([subject, *cells]))


def single_scan_table(subject: str, columns: Sequence[str], cells: Sequence[str]) -> str:
    """Return the table of one scan of a list: header with an empty first cell, and one row."""
    return format_row(["", *columns]) + format_row([subject, *cells])
