"""Tab-separated tables of our own: read, written, and growing by whole lines while a run goes on.

Leading ``#`` lines are remarks such as the source of the data.
"""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from synthseg_core.errors import InputError, OutputError
from synthseg_core.system.atomic import flush, write_bytes
from synthseg_core.system.delimited import split_lines

ABSENT = "n/a"
"""What BIDS writes in the cell of an absent value."""


def read_tsv(path: Path, required: Sequence[str] = ()) -> list[dict[str, str]]:
    """Return the rows of a table as dictionaries of text.

    Raises
    ------
    InputError
        If the file is missing, a required column is absent, or a row has the wrong number of cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            path, found=f"no readable table ({error})", expected="a UTF-8 TSV file", remedy="check the path"
        ) from error
    lines = [line for line in split_lines(text) if line and not line.startswith("#")]
    header, *rows = list(csv.reader(lines, delimiter="\t")) or [[]]
    if missing := [column for column in required if column not in header]:
        raise InputError(
            path,
            found=f"the columns {', '.join(header) or 'none'}",
            expected=f"also {', '.join(missing)}",
            remedy="add the missing columns",
        )
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise InputError(
                path,
                found=f"{len(row)} cells in data row {number}",
                expected=f"{len(header)}, as in the header",
                remedy="separate the cells with single tabs",
            )
    return [dict(zip(header, row, strict=True)) for row in rows]


def format_tsv(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Return a table as text, header first, ``n/a`` for absent values as BIDS asks."""
    return format_cells(([ABSENT if row.get(key) is None else row[key] for key in columns] for row in rows), columns)


def format_cells(rows: Iterable[Sequence[object]], columns: Sequence[str]) -> str:
    """Return a table as text from the cells of its rows, header first."""
    out = StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def start_table(path: Path, text: str) -> None:
    """Replace a file by its first lines, atomically; names that are no UTF-8 keep their bytes."""
    write_bytes(path, _encode(text))


def append_whole(path: Path, text: str) -> None:
    """Add text at the end of a file in one write, on disk when this returns; a part that got in is taken out again.

    Parameters
    ----------
    path
        Existing file.
    text
        One or several complete lines, line end included.

    Raises
    ------
    OutputError
        If the disk is full or the file cannot be written; the file is then as it was.
    """
    data = _encode(text)
    try:
        with path.open("r+b", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            try:
                _write_all(file.fileno(), data)
            except OSError:
                file.truncate(before)
                raise
            flush(file.fileno())
    except OSError as error:
        raise OutputError(
            path,
            found=f"a line that could not be added ({error.strerror})",
            expected="a writable file and free disk space",
            remedy="free some space or choose another file, then run again",
        ) from error


def _encode(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")


def _write_all(descriptor: int, data: bytes) -> None:
    if (written := os.write(descriptor, data)) != len(data):
        raise OSError(errno.ENOSPC, f"{written} of {len(data)} bytes written")
