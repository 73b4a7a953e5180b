"""Lines of a table that repeat or contradict each other: which came first must not decide."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from synthseg_core.bids.scan_row import ScanRow, nameless_row


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
    """

    line: int
    row: ScanRow
    labels: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    understood: bool = True

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
