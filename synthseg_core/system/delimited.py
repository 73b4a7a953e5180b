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
# Marks at the beginning of a text; that of UTF-16 is the beginning of that of UTF-32.
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
          codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip
# Office Open XML and OpenDocument; Excel 97 to 2003.
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SURROGATES = re.compile("[\udc80-\udcff]")
_LINE_END = re.compile("\r\n|\n|\r")


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
    first = next((line for line in split_lines(text) if line.strip()), "")
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


def read_bytes(path: Path) -> bytes:
    """Return the content of a table; ``InputError`` if it cannot be read or is a workbook."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error), "check the path") from error
    if data.startswith(_WORKBOOKS):
        raise _unreadable(path, "a workbook or other binary file", "export it as CSV")
    return data


def decoded(data: bytes) -> str:
    """Return bytes as text: UTF-8, UTF-16 or UTF-32; bytes that are none of it are kept as single surrogates."""
    known = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), None) or _utf_16(data)
    return data.decode(known, errors="replace") if known else data.decode("utf-8-sig", errors="surrogateescape")


def western(cell: str) -> str | None:
    """Return a cell of :func:`decoded` with stray bytes read as Western European text; ``None`` if they are none."""
    try:
        return _SURROGATES.sub(lambda byte: bytes([ord(byte[0]) - 0xDC00]).decode("cp1252"), cell)
    except UnicodeDecodeError:
        return None


def split_lines(text: str) -> list[str]:
    """Return lines as every program counts them; ``str.splitlines`` also cuts at characters that cells may hold."""
    return _LINE_END.split(text)


def folded(header: str) -> str:
    """Return a column's name as it is compared: in lower case, with ``_`` for spaces and dashes."""
    return "_".join(re.split(r"[\s_-]+", header.casefold()))


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
    text = decoded(read_bytes(path))
    if "\0" in text:
        raise _unreadable(path, "a workbook or other binary file", "export it as CSV")
    return text


def _utf_16(data: bytes) -> str | None:
    """Return the name of the byte order of UTF-16 without a mark; ``None`` where the first characters are not that."""
    start = data[:16]
    low, high = start[::2], start[1::2]
    if len(start) < 4 or len(low) != len(high):
        return None
    if not any(high) and all(low):
        return "utf-16-le"
    return "utf-16-be" if all(high) and not any(low) else None


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
