"""The CSV of ``synthseg dataset``: which scans it lists, what is wrong with its rows, where outputs go.

One table for a whole data set: the user's own columns, a status, and the volumes of every scan.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.cli.dropin.names import without_extension
from synthseg_core.cli.dropin.plan import ScanOutputs
from synthseg_core.errors import InputError, OutputError, UsageError
from synthseg_core.images.formats import check_file
from synthseg_core.system.atomic import check_writable
from synthseg_core.system.delimited import EMPTY_CELLS, absolute, yes_no_words, yes_or_no
from synthseg_core.system.paths import real_path
from synthseg_core.system.tables import format_tsv

_LISTED = 10


@dataclass(frozen=True)
class Row:
    """One scan of the table.

    Parameters
    ----------
    line
        Line of the file on which the row ends, counted from 1.
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
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    empty_lines: tuple[int, ...]


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
    """Read the CSV.

    Raises
    ------
    InputError
        If it cannot be read, lacks a column, or has cells that make no sense; all bad lines are named.
    """
    numbered = list(_records(path))
    header = tuple(numbered[0][1]) if numbered else ()
    for column in (columns.path, columns.ct):
        if column is not None and header.count(column) != 1:
            raise InputError(
                path,
                found=f"the columns {', '.join(header) or 'none'}",
                expected=f"one column {column!r}",
                remedy=_remedy_for(header),
            )
    filled = [(line, _row_cells(path, line, header, cells)) for line, cells in numbered[1:]]
    empty = tuple(line for line, cells in filled if cells[columns.path] in EMPTY_CELLS)
    rows = tuple(_row(path, line, cells, columns) for line, cells in filled if line not in empty)
    return Table(path, header, rows, empty)


def _remedy_for(header: Sequence[str]) -> str:
    """Say what to do about a missing column; spreadsheets of some languages separate cells by semicolons."""
    if len(header) == 1 and any(separator in header[0] for separator in ";\t"):
        return "save the table with commas between the cells"
    return "correct the header, or name the column with --path_column or --ct_column"


def outputs_of(row: Row, table_path: Path, suffixes: Suffixes, folder: Path | None) -> ScanOutputs:
    """Name the files of one scan.

    Parameters
    ----------
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


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and cells of all rows that are not blank."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (OSError, csv.Error) as error:
        raise InputError(
            path,
            found=f"no readable table ({getattr(error, 'strerror', None) or error})",
            expected="a CSV file with commas",
            remedy="check --csv",
        ) from error


def _row_cells(path: Path, line: int, header: Sequence[str], cells: list[str]) -> dict[str, str]:
    """Pair the cells of a row with the header; rows may end early, as spreadsheets write them."""
    if len(cells) > len(header):
        raise InputError(
            path,
            found=f"{len(cells)} cells in line {line}",
            expected=f"{len(header)}, as in the header",
            remedy="put cells that hold a comma in double quotes",
        )
    return dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True))


def _row(path: Path, line: int, cells: dict[str, str], columns: Columns) -> Row:
    scan = absolute(absolute(path).parent / cells[columns.path])
    return Row(line, scan, _is_ct(path, line, cells, columns), cells)


def _is_ct(path: Path, line: int, cells: dict[str, str], columns: Columns) -> bool:
    text = "" if columns.ct is None else cells[columns.ct]
    if text in EMPTY_CELLS:
        return columns.ct_default
    answer = yes_or_no(text)
    if answer is None:
        raise InputError(
            path,
            found=f"{text!r} in column {columns.ct} of line {line}",
            expected=yes_no_words(),
            remedy="correct the cell",
        )
    return answer


def _clash(rows: Sequence[Row]) -> str:
    lines = ", ".join(str(row.line) for row in rows)
    if len({row.scan for row in rows}) == 1:
        return f"{rows[0].scan} in lines {lines}"
    return f"{' and '.join(row.scan.name for row in rows)} with the same outputs in lines {lines}"


STATUS = "synthseg_status"
DONE, FAILED = "done", "failed"


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
