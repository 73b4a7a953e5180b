"""Scans that a table lists: CSV or TSV with a column of paths, or a text file with one path a line.

Whatever is wrong with a row is told with its line and leaves the other rows alone.

Lines of a table that repeat or contradict each other: which came first must not decide.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from synthseg_core.bids.columns import PARTICIPANT_HEADERS
from synthseg_core.bids.names import DERIVED, ENTITIES, UNNAMED_SUFFIX, ScanName, label_from
from synthseg_core.bids.path_names import (
    PathName,
    ascii_label,
    bids_name,
    former_label,
    name_from_path,
    with_former_names,
)
from synthseg_core.bids.scan_row import ScanRow, file_problem, legible, named_row, nameless_row
from synthseg_core.bids.search import FOLDER_EXTENSIONS
from synthseg_core.bids.tally import Tally
from synthseg_core.errors import InputError
from synthseg_core.models.registry import DEFAULT_MODEL, registered_models
from synthseg_core.system.delimited import (
    EMPTY_CELLS,
    Record,
    absolute,
    folded,
    read_lines,
    read_records,
    yes_no_words,
    yes_or_no,
)
from synthseg_core.system.paths import is_file
from synthseg_core.system.words import listed


@dataclass(frozen=True)
class TableEntry:
    """One line of the table.

    Parameters
    ----------
    line
        Counted from 1.
    labels
        What was written in the table for each label of the scan's name.
    understood
        Whether every cell is; a line that is not has a problem of its own, and contradicts no other.
    former
        Stem that earlier versions gave to the scan, if it is another.
    """

    line: int
    row: ScanRow
    labels: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    understood: bool = True
    former: str = ""

    @property
    def compared(self) -> bool:
        """Whether other lines can agree with it or contradict it."""
        return self.understood and bool(self.row.scan)

    def refused(self, problem: str) -> TableEntry:
        """Return the entry with a problem, unless it has one already."""
        return self if self.row.problem else replace(self, row=replace(self.row, problem=problem))


def agreeing_rows(entries: Iterable[TableEntry]) -> list[ScanRow]:
    """Return the rows of a table in its order, problems with their lines.

    A scan that is listed twice in the same way is taken once; of entries that contradict each other none is taken.
    """
    agreeing = _without_mixed_labels(_without_copies(entries))
    agreeing = _without_twins(agreeing, "source", "the same file as in {}, but not the same scan; correct one")
    agreeing = _without_twins(
        agreeing, "scan", "same derivative names as {}; tell the scans apart in columns such as session, run or suffix"
    )
    return [_told_with_line(entry) for entry in agreeing]


def _without_copies(entries: Iterable[TableEntry]) -> Iterator[TableEntry]:
    """Take a scan that is listed twice in the same way once."""
    lines: dict[tuple[str, ...], int] = {}
    for entry in entries:
        row = entry.row
        line = lines.setdefault((row.scan, row.source, row.model, row.ct), entry.line) if entry.compared else entry.line
        if line != entry.line:
            row = nameless_row(row.path, row.source, f"the same scan as in line {line}; remove one")
        yield replace(entry, row=row)


def _without_mixed_labels(entries: Iterable[TableEntry]) -> list[TableEntry]:
    """Refuse what is written differently but becomes the same label: two people must not become one."""
    entries = list(entries)
    written: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in entries:
        for label, text in entry.labels.items():
            written[label].add(text)
    mixed = {label: " and ".join(sorted(texts)) for label, texts in written.items() if len(texts) > 1}
    return [_without_mixed(entry, mixed) for entry in entries] if mixed else entries


def _without_mixed(entry: TableEntry, mixed: Mapping[tuple[str, str], str]) -> TableEntry:
    for role, label in entry.labels:
        if (role, label) in mixed:
            return entry.refused(f"{mixed[role, label]} both become {role}-{label}; write letters and digits only")
    return entry


def _without_twins(entries: Sequence[TableEntry], key: str, problem: str) -> list[TableEntry]:
    """Refuse all named rows that share a value, telling the lines of the others."""
    lines: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        if entry.compared:
            lines[getattr(entry.row, key)].append(entry.line)
    return [_without_twin(entry, lines.get(getattr(entry.row, key), []), problem) for entry in entries]


def _without_twin(entry: TableEntry, lines: Sequence[int], problem: str) -> TableEntry:
    others = ", ".join(str(line) for line in lines if line != entry.line)
    return entry.refused(problem.format(f"line {others}")) if entry.compared and others else entry


def _told_with_line(entry: TableEntry) -> ScanRow:
    row = entry.row
    problem = row.problem if row.problem.isprintable() else ascii(row.problem)[1:-1]  # it may quote any cell
    return replace(row, problem=f"line {entry.line}: {problem}") if problem else row


EXTENSIONS = (".csv", ".tsv", ".txt")
DEFAULT_PATH_COLUMN = "path"
# Headers that mean the same, in lower case; every other entity goes by its key in BIDS names.
_HEADERS = {
    "sub": PARTICIPANT_HEADERS,
    "ses": ("ses", "session", "session_id"),
    "acq": ("acq", "acquisition"),
    "rec": ("rec", "reconstruction"),
    "suffix": ("suffix",),
    "model": ("model",),
    "ct": ("ct",),
}
# Not for raw scans of people.
_NO_COLUMN = (*DERIVED, "tpl", "cohort")
_ROLES = {
    **{key: key for key in ENTITIES if key not in _NO_COLUMN},
    **{header: role for role, headers in _HEADERS.items() for header in headers},
}
# How pandas writes whole numbers of a column that also has empty cells.
_WHOLE_NUMBER = re.compile(r"(\d+)\.0")
_CELL_ENDS = re.compile(r'[,;"\t\n]')


@dataclass(frozen=True)
class _Table:
    """What the header says.

    Parameters
    ----------
    file
        Absolute.
    home
        Its folder, with a slash at the end.
    path
        Number of the column of paths.
    roles
        What the other columns that matter mean, by their numbers.
    width
        Number of columns.
    """

    file: Path
    home: str
    path: int
    roles: Mapping[int, str]
    width: int


def table_rows(
    file: Path, path_column: str | None = None, results: Path | None = None, tally: Tally | None = None
) -> list[ScanRow]:
    """Return a row for each line that is not blank, in the order of the table.

    Parameters
    ----------
    file
        CSV, TSV, or a text file with a path on each line.
    path_column
        Header of the column of paths; ``None``: ``path``, or the only column that looks like it.
    results
        Derivative dataset of earlier runs; scans keep the names that they have there.
    tally
        Is told which do.

    Raises
    ------
    InputError
        If the file cannot be read, or it is not clear which column holds the paths.
    """
    table, records = _with_header(absolute(file), path_column)
    entries = [_entry(table, record) for record in records]
    former = {entry.row.scan: entry.former for entry in entries if entry.former}
    tally = Tally() if tally is None else tally
    return with_former_names(agreeing_rows(entries), lambda row: former.get(row.scan, ""), results, tally)


def _with_header(file: Path, path_column: str | None) -> tuple[_Table, list[Record]]:
    """Return what the header says and the records below it; a table without header may be a list of paths."""
    records = read_records(file)
    listed = _list_of_paths(file, records) if path_column is None else []
    if listed:
        return _Table(file, _home(file), 0, {}, 1), listed
    path = _path_column(file, records, path_column)
    header = records[0].cells
    roles = {number: _ROLES[word] for number, word in enumerate(map(folded, header)) if word in _ROLES}
    roles.pop(path, None)
    if repeated := [header[n] for n, role in roles.items() if list(roles.values()).count(role) > 1]:
        raise _unclear(file, f"the columns {' and '.join(repeated)} for one thing", "each once", "remove one")
    return _Table(file, _home(file), path, roles, len(header)), records[1:]


def _home(file: Path) -> str:
    return f"{str(file.parent).rstrip(os.sep)}{os.sep}"


def _list_of_paths(file: Path, records: list[Record]) -> list[Record]:
    """Return the lines of a list without header, empty if it has one; in text files a path may hold anything."""
    lines = read_lines(file) if file.suffix.lower() == ".txt" else []
    if lines and _looks_like_scan(lines[0].cells[0]):
        return lines
    if not records or not any(map(_looks_like_scan, records[0].cells)):
        return []
    if len(records[0].cells) > 1:
        found, remedy = f"a path in line {records[0].line}", "put a header such as path,subject before it"
        raise _unclear(file, found, "the names of the columns", remedy)
    return records


def _path_column(file: Path, records: Sequence[Record], name: str | None) -> int:
    """Return the number of the column that holds the paths."""
    header = records[0].cells if records else ()
    if name is not None:
        found = [number for number, word in enumerate(header) if word == name]
    else:
        found = [number for number, word in enumerate(header) if folded(word) == DEFAULT_PATH_COLUMN]
        found = found or [number for number in range(len(header)) if _holds_paths(records[1:], number)]
    if len(found) != 1:
        listed = ", ".join(header[number] for number in found) or f"none among {', '.join(header) or 'no columns'}"
        expected = f"one column {name!r}" if name else "one column of paths"
        raise _unclear(file, listed, expected, "correct the header, or name the column of the paths")
    return found[0]


def _unclear(file: Path, found: str, expected: str, remedy: str) -> InputError:
    return InputError(file, found=found, expected=expected, remedy=remedy)


def _looks_like_scan(cell: str) -> bool:
    return cell.lower().endswith(FOLDER_EXTENSIONS)


def _holds_paths(records: Iterable[Record], column: int) -> bool:
    return any(len(record.cells) > column and _looks_like_scan(record.cells[column]) for record in records)


def _entry(table: _Table, record: Record) -> TableEntry:
    cells = (*record.cells, *[""] * (table.width - len(record.cells)))
    fault = record.problem or _shape_fault(table, cells)
    if fault:
        place = f"{table.file.name}, line {record.line}"
        return TableEntry(record.line, nameless_row(place, str(table.file), fault))
    source = _absolute(table.home, cells[table.path])
    path = source.removeprefix(table.home).replace(os.sep, "/")
    given = {role: cells[number] for number, role in table.roles.items() if cells[number] not in EMPTY_CELLS}
    try:
        return _scan_entry(table, record.line, source, path, given)
    except InputError as error:
        return TableEntry(record.line, nameless_row(path, source, f"{error.found}; {error.remedy}"))


def _absolute(home: str, cell: str) -> str:
    """Return the path that a cell means, as text: tables have tens of thousands of them."""
    return os.path.abspath(os.path.join(home, os.path.expanduser(cell)))  # noqa: PTH100, PTH111, PTH118


def _shape_fault(table: _Table, cells: Sequence[str]) -> str:
    if any(cells[table.width :]):
        return f"{len(cells)} cells, where the header has {table.width}; put cells that hold a separator in quotes"
    below = (cell.partition("\n")[2] for cell in cells if "\n" in cell)
    if taken_in := [word for text in below for word in _CELL_ENDS.split(text) if _looks_like_scan(word)]:
        return f"a cell in quotes that takes in other lines ({listed(taken_in)}); close its quotation mark"
    if cells[table.path] in EMPTY_CELLS:
        return "no path; fill in the cell, or remove the line"
    return ""


def _scan_entry(table: _Table, line: int, source: str, path: str, given: Mapping[str, str]) -> TableEntry:
    written = {role: _written(role, text) for role, text in given.items() if role in ENTITIES}
    labels = {role: _label(role, text) for role, text in written.items()}
    suffix = given.get("suffix")
    otherwise = bids_name(path) or name_from_path(path)
    said = otherwise if isinstance(otherwise, PathName) else None
    row = named_row(_name(path, labels, suffix, otherwise), path, source)
    try:
        row = replace(row, **_options(table, path, given), problem=file_problem(source))
    except InputError as error:  # it has a name, so it is listed as a scan that failed
        return TableEntry(line, legible(replace(row, problem=f"{error.found}; {error.remedy}")), understood=False)
    texts = {(role, labels[role]): text for role, text in written.items()}
    if said and said.has_contrast and "sub" not in labels:
        texts["sub", said.label] = said.person
    told = [*written.values(), suffix or ""]
    is_new = bool(said and not ("sub" in labels and suffix)) or not all(text.isascii() for text in told)
    former = _former(path, written, suffix, otherwise) if is_new else row.scan
    return TableEntry(line, legible(row), texts, former="" if former == row.scan else former)


def _options(table: _Table, path: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return model and kind of a scan, if it has its own; most have not."""
    if not _looks_like_scan(path):
        raise _bad_cell(path, f"none of {', '.join(FOLDER_EXTENSIONS)}", "convert the scan, or correct the path")
    if not ("model" in given or "ct" in given):
        return {}
    return {"model": _model(table, given.get("model")), "ct": _ct(given.get("ct"))}


def _name(path: str, labels: Mapping[str, str], suffix: str | None, otherwise: ScanName | PathName) -> ScanName:
    """Name a scan by its columns, otherwise by its file name if that is BIDS, or by the path."""
    entities = otherwise.entities if isinstance(otherwise, ScanName) else {"sub": otherwise.label}
    entities = {**entities, **labels}
    if not entities["sub"]:
        raise _bad_cell(path, "no letter or digit in the path", "rename the file, or add a column subject")
    word = label_from(suffix) if suffix else otherwise.suffix
    if not word:
        raise _bad_cell(path, f"{suffix!r} as suffix", "use letters and digits")
    return ScanName(entities, word)


def _former(path: str, written: Mapping[str, str], suffix: str | None, otherwise: ScanName | PathName) -> str:
    """Return the stem that earlier versions gave to a scan, which dropped letters of other scripts; empty if none."""
    known = otherwise if isinstance(otherwise, ScanName) else ScanName({"sub": former_label(path)}, UNNAMED_SUFFIX)
    entities = {**known.entities, **{role: _letters(text) for role, text in written.items()}}
    word = ascii_label(suffix) if suffix else known.suffix
    return ScanName(entities, word).stem if word and all(entities.values()) else ""


def _written(role: str, text: str) -> str:
    """Return a cell without the prefix of its entity, and whole numbers as such."""
    text = text.removeprefix(f"{role}-")
    number = _WHOLE_NUMBER.fullmatch(text)
    return number[1] if number else text


def _label(role: str, text: str) -> str:
    label = _letters(text) if text.isascii() else label_from(text)
    if not label:
        raise _bad_cell(text, f"{text!r} as {role}", "use letters and digits")
    return label


def _letters(text: str) -> str:
    return "".join(re.findall(r"[0-9a-zA-Z+]+", text))


def _model(table: _Table, text: str | None) -> str:
    """Return the name of a model as it is, the path of a card absolute."""
    if text is None or text == DEFAULT_MODEL or text in _model_names():
        return text or ""
    card = absolute(table.file.parent / text)
    if not is_file(card):
        raise _bad_cell(text, f"no model {text!r}", "give a name of 'synthseg models list', or the path of a card")
    return str(card)


@cache
def _model_names() -> frozenset[str]:
    return frozenset(registered_models())


def _ct(text: str | None) -> str:
    if text is None:
        return ""
    number = _WHOLE_NUMBER.fullmatch(text)
    answer = yes_or_no(number[1] if number else text)
    if answer is None:
        raise _bad_cell(text, f"{text!r} as ct", f"write {yes_no_words()}")
    return "true" if answer else "false"


def _bad_cell(subject: str, found: str, remedy: str) -> InputError:
    return InputError(subject, found=found, expected="a scan", remedy=remedy)
