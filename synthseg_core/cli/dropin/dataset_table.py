"""The two tables of ``synthseg dataset``: the user's, which lists scans, and the results of all of them.

The results have the user's own columns, a status, and the volumes of every scan.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.cli.dropin.names import without_extension
from synthseg_core.cli.dropin.plan import ScanOutputs
from synthseg_core.errors import InputError, OutputError, UsageError
from synthseg_core.images.formats import check_file
from synthseg_core.system.atomic import check_writable
from synthseg_core.system.delimited import EMPTY_CELLS, Record, absolute, read_records, yes_no_words, yes_or_no
from synthseg_core.system.paths import real_path
from synthseg_core.system.tables import format_tsv

STATUS = "synthseg_status"
DONE, FAILED = "done", "failed"
_LISTED = 10


@dataclass(frozen=True)
class Row:
    """One scan of the table.

    Parameters
    ----------
    line
        Line of the file on which the row begins, counted from 1.
    scan
        Absolute path; relative cells are taken from the folder of the CSV.
    ct
        Whether the intensities are Hounsfield units.
    cells
        The whole row, for tables of results.
    """

    line: int
    scan: Path
    ct: bool
    cells: dict[str, str]


@dataclass(frozen=True)
class Table:
    """What the CSV lists.

    Parameters
    ----------
    path
        The CSV.
    columns
        In its order.
    rows
        Rows that name a scan.
    empty_lines
        Lines of rows whose path is empty.
    bad_lines
        What is wrong with the lines that cannot be understood; each error names its line.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    empty_lines: tuple[int, ...]
    bad_lines: tuple[InputError, ...] = ()


@dataclass(frozen=True)
class Columns:
    """Where to look in the table.

    Parameters
    ----------
    path
        Column of the scans.
    ct
        Column that says which scans are CT; ``None``: no such column.
    ct_default
        For empty cells of that column, or when there is none.
    """

    path: str = "path"
    ct: str | None = None
    ct_default: bool = False


@dataclass(frozen=True)
class Suffixes:
    """Endings of the outputs; ``None`` where an output is not wanted."""

    segmentation: str = "_segm"
    volumes: str = "_volumes.csv"
    posteriors: str | None = None
    resampled: str | None = None
    quality: str | None = None


def read_table(path: Path, columns: Columns) -> Table:
    """Read the table: text with commas, semicolons or tabs, in the encodings that spreadsheets write.

    Raises
    ------
    InputError
        If it cannot be read or lacks a column; bad lines cost no other, they are named in the table.
    """
    records = read_records(path)
    header = records[0].cells if records else ()
    for column in (columns.path, columns.ct):
        if column is not None and header.count(column) != 1:
            raise InputError(
                path,
                found=f"the columns {', '.join(header) or 'none'}",
                expected=f"one column {column!r}",
                remedy="correct the header, or name the column with --path_column or --ct_column",
            )
    rows: list[Row] = []
    empty_lines: list[int] = []
    bad_lines: list[InputError] = []
    for record in records[1:]:
        try:
            cells = _row_cells(path, header, record)
            if cells[columns.path] in EMPTY_CELLS:
                empty_lines.append(record.line)
            else:
                rows.append(_row(path, record.line, cells, columns))
        except InputError as error:
            bad_lines.append(error)
    return Table(path, header, tuple(rows), tuple(empty_lines), tuple(bad_lines))


def outputs_of(row: Row, table_path: Path, suffixes: Suffixes, folder: Path | None) -> ScanOutputs:
    """Name the files of one scan.

    Parameters
    ----------
    row
        Line of the table.
    table_path
        The table, whose folder the paths are relative to.
    suffixes
        Endings of the names.
    folder
        Outputs go to the same place below it as the scan has below the folder of the CSV; scans from elsewhere get
        their whole path below it. ``None``: beside the scan.
    """
    prefix = without_extension(row.scan)
    if folder is not None:
        home = absolute(table_path).parent
        inside = prefix.is_relative_to(home)
        prefix = absolute(folder) / (prefix.relative_to(home) if inside else prefix.relative_to(prefix.anchor))

    def named(suffix: str | None, extension: str = ".nii.gz") -> Path | None:
        return None if suffix is None else prefix.with_name(f"{prefix.name}{suffix}{extension}")

    return ScanOutputs(
        segmentation=prefix.with_name(f"{prefix.name}{suffixes.segmentation}.nii.gz"),
        posteriors=named(suffixes.posteriors),
        resampled=named(suffixes.resampled),
        volumes=named(suffixes.volumes, ""),
        quality=named(suffixes.quality, ""),
    )


def refuse_duplicates(table: Table, prefixes: Iterable[Path]) -> None:
    """Refuse rows that would write the same files, naming all of them.

    Parameters
    ----------
    table
        The rows, with the table that they came from.
    prefixes
        One output of every row.

    Raises
    ------
    UsageError
        If two rows name one scan, or scans that differ in the extension only.
    """
    groups: dict[Path, list[Row]] = {}
    for row, prefix in zip(table.rows, prefixes, strict=True):
        groups.setdefault(real_path(prefix), []).append(row)
    clashes = [_clash(rows) for rows in groups.values() if len(rows) > 1]
    if clashes:
        raise UsageError(
            table.path,
            found=shortened(clashes),
            expected="outputs of its own for every row",
            remedy="remove the duplicates, or rename one of the scans",
        )


def unreadable(rows: Iterable[Row]) -> list[tuple[Row, InputError]]:
    """Return the rows whose file is missing or cannot be a scan, with the reason."""
    bad: list[tuple[Row, InputError]] = []
    for row in rows:
        try:
            check_file(row.scan)
        except InputError as error:
            bad.append((row, error))
    return bad


def unwritable(row: Row, outputs: ScanOutputs) -> OutputError | None:
    """Return an error if the outputs of a row cannot be written where they belong, before anything is computed."""
    try:
        for path in outputs.paths():
            check_writable(path)
    except OutputError as error:
        return OutputError(
            error.subject,
            found=error.found,
            expected=f"a place for the outputs of {row.scan.name}",
            remedy="correct the permissions, or write to a folder of its own with --out",
        )
    return None


def shortened(items: Sequence[str]) -> str:
    """Join the first few items and count the rest."""
    rest = f"; and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return "; ".join(items[:_LISTED]) + rest


def _row_cells(path: Path, header: Sequence[str], record: Record) -> dict[str, str]:
    """Pair the cells of a row with the header; rows may end early or with empty cells, as spreadsheets write them."""
    if record.problem:
        raise _bad_line(path, record.line, record.problem, "a row of cells", "correct the quotes")
    cells = record.cells
    if any(cells[len(header) :]):
        expected, remedy = f"{len(header)}, as in the header", "put cells that hold a separator in double quotes"
        raise _bad_line(path, record.line, f"{len(cells)} cells", expected, remedy)
    return {name: cells[number] if number < len(cells) else "" for number, name in enumerate(header)}


def _bad_line(path: Path, line: int, found: str, expected: str, remedy: str) -> InputError:
    return InputError(f"{path}: line {line}", found=found, expected=expected, remedy=remedy)


def _row(path: Path, line: int, cells: dict[str, str], columns: Columns) -> Row:
    scan = absolute(absolute(path).parent / cells[columns.path])
    return Row(line, scan, _is_ct(path, line, cells, columns), cells)


def _is_ct(path: Path, line: int, cells: dict[str, str], columns: Columns) -> bool:
    text = "" if columns.ct is None else cells[columns.ct]
    if text in EMPTY_CELLS:
        return columns.ct_default
    answer = yes_or_no(text)
    if answer is None:
        raise _bad_line(path, line, f"{text!r} in column {columns.ct}", yes_no_words(), "correct the cell")
    return answer


def _clash(rows: Sequence[Row]) -> str:
    lines = ", ".join(str(row.line) for row in rows)
    if len({row.scan for row in rows}) == 1:
        return f"{rows[0].scan} in lines {lines}"
    return f"{' and '.join(row.scan.name for row in rows)} with the same outputs in lines {lines}"


def volumes_of(path: Path) -> dict[str, str]:
    """Read the volumes of one scan back from its CSV, mm³ as text by structure name.

    Raises
    ------
    InputError
        If the file is not the table of one scan.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            header, row = csv.reader(file)
        return dict(zip(header[1:], row[1:], strict=True))
    except (OSError, ValueError) as error:
        raise InputError(
            path,
            found=f"no table of one scan ({error})",
            expected="a header and a row",
            remedy="remove the file and run again",
        ) from error


def results_table(table: Table, volumes: Mapping[int, Mapping[str, str]]) -> str:
    """Return the results as TSV, one row for each scan of the data set, in its order.

    Parameters
    ----------
    table
        The rows, with the table that they came from.
    volumes
        Volumes by line of the data set's table, mm³; scans that are not in it failed.

    Returns
    -------
    str
        The user's columns, ``synthseg_status``, and one column a structure, ``(mm3)`` in its name.
    """
    names = list(dict.fromkeys(name for line in volumes.values() for name in line))
    rows = [
        {
            **row.cells,
            STATUS: DONE if row.line in volumes else FAILED,
            **{f"{name} (mm3)": volume for name, volume in volumes.get(row.line, {}).items()},
        }
        for row in table.rows
    ]
    return format_tsv(rows, [*table.columns, STATUS, *(f"{name} (mm3)" for name in names)])
