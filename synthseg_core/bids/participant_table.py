"""A ``participants.tsv`` as people have it, read person by person: what is certain arrives, of the rest it is said why.

A row that does not fit its header, a column that is there twice, a label that could be two people's: none of them is
guessed at, as a value that moves to another person or column is worse than one that is missing.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from synthseg_core.bids.columns import PARTICIPANT_HEADERS
from synthseg_core.bids.participant_labels import BLANK, People
from synthseg_core.errors import InputError
from synthseg_core.system.delimited import absolute, decoded, folded, read_bytes, split_lines, western
from synthseg_core.system.tables import ABSENT
from synthseg_core.system.words import listed

# What parts the cells; the last two only where a header has spaces in place of tabs.
_SEPARATORS = (r"\t", ";", ",", r"\t| {2,}", r"\s+")
_LINE_BREAKS = re.compile("[\t\r\n\v\f\x1c-\x1f\x85\u2028\u2029]+")
_DAMAGED = re.compile("[\x00-\x08\x0e-\x1b\x7f\ufffd]")
_SPACES = re.compile(" {2,}")
_HEADER_WITHIN = 10
_OF_NOBODY = "not used, as they do not have the cells of the header and name no participant of this dataset"


@dataclass(frozen=True)
class ParticipantTable:
    """What a table says of the participants of a dataset.

    Parameters
    ----------
    columns
        In the order of the file, without that of the participants.
    rows
        Cells by column, of each participant (``sub-01``) that has a row.
    missing
        Participants without a row.
    notes
        What could not be read, a line for each kind of fault.
    """

    columns: tuple[str, ...] = ()
    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Line:
    """A line of the file, cut into cells; ``open_quote``: it has a quotation mark without its pair."""

    number: int
    cells: tuple[str, ...]
    open_quote: bool = False


@dataclass(frozen=True)
class _Header:
    """Which cells of a line mean what.

    Parameters
    ----------
    names
        Of all columns.
    person
        Number of the column of the participants.
    columns
        Numbers of the columns whose cells are taken, by name.
    """

    names: tuple[str, ...]
    person: int
    columns: Mapping[str, int]

    @property
    def needed(self) -> int:
        """Least number of cells of a line: columns without a name may be left out at its end."""
        return max((number for number, name in enumerate(self.names, start=1) if name), default=1)

    def fits(self, line: _Line) -> bool:
        """Whether a line has the cells that the header announces."""
        return self.needed <= len(line.cells) <= len(self.names)


class _Notes:
    """Faults, with the people, columns or lines that each is about."""

    def __init__(self) -> None:
        self._faults: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, fault: str, *names: str) -> None:
        """Note a fault; those of one kind become one line."""
        self._faults[fault] += names

    def lines(self, path: Path) -> tuple[str, ...]:
        """Return a line for each kind of fault."""
        texts = (f"{path}: {fault}: {listed(names)}" for fault, names in self._faults.items())
        return tuple(text if text.isprintable() else ascii(text)[1:-1] for text in texts)


def read_participants(path: Path, participants: Collection[str], others: Collection[str] = ()) -> ParticipantTable:
    """Read what a table says of some participants.

    Parameters
    ----------
    path
        The table: tabs, semicolons, commas or spaces; UTF-8, UTF-16 or, where bytes are none of them, Western European.
    participants
        Whose rows are wanted, with ``sub-``.
    others
        Participants that rows may be of as well: a label that could be one's of both is nobody's.

    Raises
    ------
    InputError
        If the file cannot be read, or it is not clear which column holds the participants.
    """
    path, notes = absolute(path), _Notes()
    lines = [(number, line) for number, line in enumerate(split_lines(decoded(read_bytes(path))), 1) if line.strip()]
    names, body = _with_header(path, lines, notes)
    people = People([*participants, *others])
    header = _understood(path, names, body, people, notes)
    fitting = [_fitting(line, header, people) for line in body]
    rows: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for line, (owners, certain) in zip(fitting, _owners(fitting, header, people), strict=True):
        wanted = [person for person in owners if person in participants]
        fault = _fault(line, header, certain)
        if fault and wanted:
            notes.add(fault, f"line {line.number} ({', '.join(wanted)})")
        elif not owners and not header.fits(line) and not line.cells[0].startswith("#"):
            notes.add(_OF_NOBODY, f"line {line.number}")
        for person in wanted:
            rows[person] += [] if fault else [_cells_of(line, person, header, notes)]
    agreeing = {person: _agreeing(person, found, notes) for person, found in rows.items()}
    missing = tuple(sorted({*participants} - {*rows}))
    return ParticipantTable(tuple(header.columns), agreeing, missing, notes.lines(path))


def _with_header(path: Path, lines: Sequence[tuple[int, str]], notes: _Notes) -> tuple[tuple[str, ...], list[_Line]]:
    """Return the names of the columns, and the lines below them."""
    above: list[str] = []
    for place, (number, line) in enumerate(lines[:_HEADER_WITHIN]):
        known = PARTICIPANT_HEADERS[:1] if above else PARTICIPANT_HEADERS
        for separator in _SEPARATORS:
            cut = _cut(number, line.lstrip("# "), separator)
            if any(folded(cell) in known for cell in cut.cells):
                if cut.open_quote:
                    notes.add("a quotation mark without its pair was taken for a character in line", f"{number}")
                if above:
                    notes.add("above the names of the columns, and not used, are lines", *above)
                return cut.cells, [_cut(n, text, separator) for n, text in lines[place + 1 :]]
        above += [] if line.startswith(("#", "sep=")) else [f"{number}"]
    first = " ".join(lines[0][1].split())[:60] if lines else "nothing"
    found = western(first) or first
    raise InputError(
        path,
        found=f"no column participant_id ({found if found.isprintable() else ascii(found)[1:-1]})",
        expected="a table with tabs whose first line names its columns",
        remedy="name the column of the participants participant_id",
    )


def _cut(number: int, line: str, separator: str) -> _Line:
    """Cut a line into cells; quotation marks count where they are in pairs, else they are characters."""
    open_quote = False
    if '"' in line and len(separator.lstrip("\\")) == 1:
        character = "\t" if separator == r"\t" else separator
        try:
            return _Line(number, _stripped(next(csv.reader([line], delimiter=character, strict=True))))
        except csv.Error:
            open_quote = True
    spaced = separator in _SEPARATORS[3:]
    return _Line(number, _stripped(re.split(separator, line.strip() if spaced else line)), open_quote)


def _stripped(cells: Iterable[str]) -> tuple[str, ...]:
    return tuple(cell.strip(BLANK) for cell in cells)


def _understood(path: Path, names: tuple[str, ...], body: Sequence[_Line], people: People, notes: _Notes) -> _Header:
    """Return what the header says; columns that are there twice, or have no name, are left out and told."""
    person = _person_column(path, names, body, people)
    readable = tuple(_readable(name) or "" for name in names)
    times = Counter((*readable[:person], PARTICIPANT_HEADERS[0], *readable[person + 1 :]))
    columns = {name: n for n, name in enumerate(readable) if name and n != person and times[name] == 1}
    if doubled := [name for name in times if name and times[name] > 1]:
        notes.add("left out, as more than one column has this name", *doubled)
    nameless = [n for n, name in enumerate(readable) if not name]
    if filled := [f"{n + 1}" for n in nameless if any(any(line.cells[n : n + 1]) for line in body)]:
        notes.add("left out, as these columns have no name that can be read", *filled)
    return _Header(readable, person, columns)


def _person_column(path: Path, names: Sequence[str], body: Sequence[_Line], people: People) -> int:
    """Return the number of the column of the participants: of several, the only one with their labels."""
    words = [folded(name) for name in names]
    word = next(word for word in PARTICIPANT_HEADERS if word in words)
    called = [n for n, found in enumerate(words) if found == word]
    right = [n for n in called if any(people.exactly(cell) for line in body for cell in line.cells[n : n + 1])]
    if len(called) > 1 and len(right) != 1:
        raise InputError(
            path, found=f"{len(called)} columns {word}", expected="one, with the labels of the participants",
            remedy="rename the others",
        )  # fmt: skip
    return right[0] if len(called) > 1 else called[0]


def _owners(lines: Sequence[_Line], header: _Header, people: People) -> list[tuple[list[str], bool]]:
    """Return whose each line is or could be, and whether that is certain."""
    cells = [line.cells[header.person] if len(line.cells) > header.person else "" for line in lines]
    known = people.of(cells)
    return [
        (owners, certain) if owners or not _is_odd(line, cell, header) else (people.named_in(line.cells), False)
        for line, cell, (owners, certain) in zip(lines, cells, known, strict=True)
    ]


def _is_odd(line: _Line, cell: str, header: _Header) -> bool:
    """Tell a line that may be of somebody though another cell than his stands in the place of the participant."""
    return not cell or cell.startswith("#") or not header.fits(line)


def _fault(line: _Line, header: _Header, certain: bool) -> str:
    """Say why nothing of a line can be used; empty if it can."""
    if not header.fits(line):
        return f"not used, as they do not have the {len(header.names)} cells of the header; part cells by single tabs"
    return "" if certain else "not used, as it is not certain whose they are; write the label in full"


def _fitting(line: _Line, header: _Header, people: People) -> _Line:
    """Return a line without empty cells beyond the header, and with a tab where spaces stand after the participant."""
    cells, width = line.cells, len(header.names)
    if len(cells) > width and not any(cells[width:]):
        cells = cells[:width]
    first = cells[0].partition(" ")[0]
    if header.person == 0 and first != cells[0] and people.exactly(first) and not header.fits(line):
        parted = tuple(_SPACES.split(cells[0], maxsplit=1))
        cells = (*parted, *cells[1:]) if len(parted) + len(cells) - 1 == width else (first, *cells[1:])
    return replace(line, cells=cells)


def _cells_of(line: _Line, person: str, header: _Header, notes: _Notes) -> dict[str, str]:
    """Return the cells of a person by column, those that are certain."""
    cells = {name: "".join(line.cells[n : n + 1]) for name, n in header.columns.items()}
    for name, cell in cells.items():
        if _readable(cell) is None:
            notes.add("n/a, as some characters cannot be read", f"{name} of {person}")
        elif (text := western(cell)) and text != cell:
            notes.add("not UTF-8, but read as Western European text (cp1252); save it as UTF-8", text)
    if line.open_quote:
        notes.add("a quotation mark without its pair was taken for a character in the row of", person)
    return {name: _readable(cell) or ABSENT for name, cell in cells.items()}


def _readable(cell: str) -> str | None:
    """Return a cell as text of one line; ``None`` if some of its characters are damaged."""
    text = western(cell)
    return None if text is None or _DAMAGED.search(text) else _LINE_BREAKS.sub(" ", text)


def _agreeing(person: str, rows: Sequence[Mapping[str, str]], notes: _Notes) -> dict[str, str]:
    """Return the one row of a person; of several, the cells in which all agree."""
    cells = {name: {row[name] for row in rows} for name in (rows[0] if rows else ())}
    if differing := [name for name, found in cells.items() if len(found) > 1]:
        notes.add("n/a, as several rows of one participant differ", *(f"{name} of {person}" for name in differing))
    return {name: next(iter(found)) if len(found) == 1 else ABSENT for name, found in cells.items()}
