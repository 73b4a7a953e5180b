"""What is known about label values: name, side, counterpart, Gaussian class and target, from tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from synthseg_core.errors import InputError
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.labels.table import LabelTable
from synthseg_core.resources import resource
from synthseg_core.system.tables import read_tsv

# What a label list says about each label, and what a scan counts.
FACTS = ("value", "name", "side", "counterpart", "extracerebral", "class", "output")
COUNTS = ("maps", "voxels_min", "voxels_mean", "voxels_max")

SIDES = ("neutral", "left", "right")
OPPOSITE = {"neutral": "neutral", "left": "right", "right": "left"}

# Values that `synthseg labels cluster` gives to unlabelled voxels, darkest first; no FreeSurfer structure has them.
FIRST_TISSUE, LAST_TISSUE = 901, 998

_ABSENT = ("", "n/a")
# Published tables, the first one that knows a value decides; they agree where they overlap.
_TABLES = ("segmentation_2.0", "parcellation_2.0")


@dataclass(frozen=True)
class LabelEntry:
    """One row of a label list.

    Parameters
    ----------
    value
        Value in label maps.
    name
        Name of the structure.
    side
        ``neutral``, ``left`` or ``right``.
    counterpart
        Value on the other side; the value itself for neutral labels; ``None`` if not known.
    extracerebral
        Whether it is tissue outside the brain.
    group
        Labels with equal groups share a Gaussian; ``None``: one of its own.
    output
        Value in the target; 0: not in the target.
    known
        Whether a table has it; what is guessed is reported.
    extra
        Cells of other columns, such as the targets of another recipe.
    """

    value: int
    name: str
    side: str
    counterpart: int | None
    extracerebral: bool = False
    group: tuple[str, int] | None = None
    output: int = 0
    known: bool = True
    extra: Mapping[str, str] = field(default_factory=dict[str, str])


def guessed(value: int) -> LabelEntry:
    """Return an entry for a value that no table knows: neutral, a class of its own, a target."""
    return LabelEntry(value, f"label-{value}", "neutral", value, output=value, known=False)


def known_entries(*own: Mapping[int, LabelEntry]) -> dict[int, LabelEntry]:
    """Return everything that is known about label values; entries given first win over the package's tables."""
    merged: dict[int, LabelEntry] = {}
    for entries in (*own, builtin_entries(), *map(_table_entries, _TABLES), _tissue_entries()):
        merged = {**entries, **merged}
    return merged


def builtin_entries() -> dict[int, LabelEntry]:
    """Return the rows of the list that belongs to the published training maps."""
    return list_entries(resource("synth", "generation_54.tsv"))


def list_entries(path: Path) -> dict[int, LabelEntry]:
    """Return the rows of a complete label list, in its order, after all checks of such a list."""
    GenerationLabels.read(path)
    return table_entries(path)


def table_entries(path: Path) -> dict[int, LabelEntry]:
    """Return the rows of a user's table.

    Parameters
    ----------
    path
        TSV with the column ``value`` and any of ``name``, ``side``, ``counterpart``, ``extracerebral``, ``class`` and
        ``output``. Where a cell is missing or ``n/a``, a label is neutral, inside the brain, has a class of its own,
        and is a target under its own value.

    Raises
    ------
    InputError
        If a number is none, a side is unknown, or a value occurs twice.
    """
    entries: dict[int, LabelEntry] = {}
    for row in read_tsv(path, required=("value",)):
        entry = _entry(row, path)
        if entry.value in entries:
            raise _fault(path, f"value {entry.value} twice", "each value once")
        entries[entry.value] = entry
    return entries


def _entry(row: Mapping[str, str], path: Path) -> LabelEntry:
    cells = {column: text.strip() for column, text in row.items() if text.strip() not in _ABSENT}
    value = _integer(cells, "value", path)
    if value is None:
        raise _fault(path, "a row without value", "a whole number in each row")
    side = cells.get("side", "neutral")
    if side not in SIDES:
        raise _fault(path, f"the side {side!r} of label {value}", " or ".join(SIDES))
    counterpart, group, output = (_integer(cells, column, path) for column in ("counterpart", "class", "output"))
    return LabelEntry(
        value=value,
        name=cells.get("name", f"label-{value}"),
        side=side,
        counterpart=value if side == "neutral" and counterpart is None else counterpart,
        extracerebral=cells.get("extracerebral", "no") == "yes",
        group=None if group is None else (str(path), group),
        output=value if output is None else output,
        extra={column: text for column, text in cells.items() if column not in (*FACTS, *COUNTS)},
    )


def _integer(cells: Mapping[str, str], column: str, path: Path) -> int | None:
    try:
        number = int(cells[column]) if column in cells else None
    except ValueError as error:
        raise _fault(path, f"{cells[column]!r} in column {column}", "a whole number") from error
    if number is not None and number < 0:
        raise _fault(path, f"{number} in column {column}", "a number of 0 or above")
    return number


def _fault(path: Path, found: str, expected: str) -> InputError:
    return InputError(path, found=found, expected=expected, remedy="correct the table")


def _table_entries(name: str) -> dict[int, LabelEntry]:
    table = LabelTable.builtin(name)
    rows = zip(table.labels, table.names, table.sides, table.counterparts, strict=True)
    return _by_value(LabelEntry(v, n, s, c, output=v) for v, n, s, c in rows)


def _tissue_entries() -> dict[int, LabelEntry]:
    """Return entries for clusters of unlabelled voxels: rendered, but never a target."""
    values = range(FIRST_TISSUE, LAST_TISSUE + 1)
    blank = LabelEntry(0, "", "neutral", None, extracerebral=True)
    return _by_value(
        replace(blank, value=v, name=f"unlabelled-tissue-{n}", counterpart=v) for n, v in enumerate(values, start=1)
    )


def _by_value(entries: Iterable[LabelEntry]) -> dict[int, LabelEntry]:
    return {entry.value: entry for entry in entries}
