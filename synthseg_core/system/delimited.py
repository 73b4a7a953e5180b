"""Read tables that anybody may have written: CSV of any separator and line end, from spreadsheets or by hand.

A bad line is reported with its number and costs no other.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from synthseg_core.errors import InputError

# What pandas, with which such tables are mostly written, takes for an empty cell.
EMPTY_CELLS = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>"})
_YES_NO = {"1": True, "true": True, "yes": True, "y": True, "0": False, "false": False, "no": False, "n": False}
_SEPARATORS = "\t;,"
# First line by which Excel knows the separator.
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n?")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Record:
    """One record of a table.

    Parameters
    ----------
    line
        Line of the file on which it begins, counted from 1.
    cells
        Without spaces around them.
    problem
        Why it cannot be read; empty if it can.
    """

    line: int
    cells: tuple[str, ...]
    problem: str = ""


def read_records(path: Path) -> list[Record]:
    """Return all records that are not blank, the header first.

    Raises
    ------
    InputError
        If there is no such file, or it is no text.
    """
    text = _text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    named = _SEPARATOR_LINE.fullmatch(first)
    separator = named[1] if named else _separator(first)
    try:
        records = list(_parsed(StringIO(text, newline=""), separator))
    except csv.Error:
        records = list(_parsed_by_line(text, separator))
    return [record for record in records if any(record.cells)][1 if named else 0 :]


def read_lines(path: Path) -> list[Record]:
    """Return each line as one cell; blank ones and remarks, which begin with ``#``, are left out."""
    lines = ((number, line.strip()) for number, line in enumerate(StringIO(_text(path)), start=1))
    return [Record(number, (line,)) for number, line in lines if line and not line.startswith("#")]


def yes_or_no(text: str) -> bool | None:
    """Return what a cell answers; ``None`` if that is no answer."""
    return _YES_NO.get(text.lower())


def yes_no_words() -> str:
    """Return the answers that are understood, for messages."""
    return " or ".join(_YES_NO)


def absolute(path: Path) -> Path:
    """Return an absolute path without ``..``; links are kept, so that outputs lie where the user sees the scan."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps "..", Path.resolve follows links


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error), "check the path") from error
    if data.startswith(_UTF_16):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data or data.startswith(b"PK\x03\x04"):
        raise _unreadable(path, "a workbook or other binary file", "export it as CSV")
    return data.decode("utf-8-sig", errors="surrogateescape")


def _unreadable(path: Path, reason: str, remedy: str) -> InputError:
    return InputError(
        path, found=f"no readable table ({reason})", expected="text with commas, semicolons or tabs", remedy=remedy
    )


def _separator(header: str) -> str:
    """Return what separates the cells of the header; a tab where there is one cell only."""
    return max(_SEPARATORS, key=lambda separator: len(_cells(header, separator)))


def _cells(line: str, separator: str, *, strict: bool = False) -> list[str]:
    return next(iter(csv.reader([line], delimiter=separator, strict=strict)), list[str]())


def _parsed(file: StringIO, separator: str) -> Iterator[Record]:
    reader = csv.reader(file, delimiter=separator, strict=True)
    before = 0
    for cells in reader:
        yield Record(before + 1, tuple(cell.strip() for cell in cells))
        before = reader.line_num


def _parsed_by_line(text: str, separator: str) -> Iterator[Record]:
    """Parse a table in which some quotes do not close: cells then end with their line."""
    for number, line in enumerate(StringIO(text), start=1):
        try:
            cells = _cells(line.rstrip("\r\n"), separator, strict=True)
        except csv.Error as error:
            yield Record(number, (line.strip(),), f"quotes that cannot be understood ({error})")
        else:
            yield Record(number, tuple(cell.strip() for cell in cells))
