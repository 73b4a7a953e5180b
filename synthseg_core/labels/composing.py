"""Make the label list of a folder of maps: rows in the order that the generator needs, or a refusal that says why."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthseg_core.errors import InputError
from synthseg_core.images.checks import sizes_text
from synthseg_core.labels.counting import LabelScan, MapCounts
from synthseg_core.labels.known import COUNTS, FACTS, OPPOSITE, LabelEntry, guessed
from synthseg_core.labels.lists import SCAN_LIKE, TABLE_COLUMNS, values_text
from synthseg_core.system.tables import format_tsv
from synthseg_core.system.words import counted

_TO_LIST = "correct the table given with --names or --update"
# A label that keeps this far from the middle, in parts of the head's width, lies on one side.
_ONE_SIDED = 0.1


@dataclass(frozen=True)
class ComposedList:
    """A label list and what is doubtful about it.

    Parameters
    ----------
    entries
        Neutral rows (background first), left rows, right rows in the same order.
    classes
        Gaussian class of each, 0..K-1.
    extras
        Other columns that have a value for every label.
    warnings
        One line each.
    """

    entries: tuple[LabelEntry, ...]
    classes: tuple[int, ...]
    extras: tuple[str, ...]
    warnings: tuple[str, ...]


def compose(
    scan: LabelScan,
    known: Mapping[int, LabelEntry],
    *,
    update: Mapping[int, LabelEntry] | None = None,
    add_counterparts: bool = False,
) -> ComposedList:
    """Arrange the labels of a scan.

    Parameters
    ----------
    scan
        Values that occur, with their sides.
    known
        What tables say about values; other values become neutral targets with a class of their own.
    update
        Rows of a list to update: they stay, in their order and with their classes, whether or not a map holds them.
    add_counterparts
        Add the known counterpart of a label that no map contains, instead of refusing the label.

    Raises
    ------
    InputError
        If a sided label has no counterpart, tables contradict themselves, or left labels lie right of right ones.
    """
    update = update or {}
    known = {**known, **update}
    values = dict.fromkeys((0, *update, *scan.values()))
    entries = {value: known.get(value) or guessed(value) for value in values}
    warnings = _about_guesses(entries.values(), scan)
    absent = _absent_counterparts(entries)
    if absent and not add_counterparts:
        raise _without_counterpart(absent, scan, entries)
    for entry in absent:
        other = _known_counterpart(entry, known)
        entries[other.value] = other
        warnings.append(f"label {other.value} ({other.name}) is in no map; added as counterpart of {entry.value}")
    _check_pairs(entries)
    for counts in scan.maps:
        _check_position(counts, entries)
    rows = _ordered(entries)
    return ComposedList(rows, class_numbers(rows, _source(update)), extra_columns(rows), tuple(warnings))


def list_text(composed: ComposedList, scan: LabelScan) -> str:
    """Return the list as a table that :meth:`GenerationLabels.read` accepts."""
    maps = counted(len(scan.maps), "label map")
    i, j, k = scan.shape
    grid = f"{i} x {j} x {k} voxels of {sizes_text(scan.voxel_size)} (RAS)"
    remark = f"# Labels of {maps} of {grid}, written by synthseg labels scan.\n"
    return remark + format_tsv(_rows(composed, scan), (*FACTS, *composed.extras, *COUNTS))


def _rows(composed: ComposedList, scan: LabelScan) -> Iterable[dict[str, object]]:
    for entry, number in zip(composed.entries, composed.classes, strict=True):
        found = scan.occurrence(entry.value)
        yield {
            "value": entry.value,
            "name": entry.name,
            "side": entry.side,
            "counterpart": entry.counterpart,
            "extracerebral": "yes" if entry.extracerebral else "no",
            "class": number,
            "output": entry.output,
            **{column: entry.extra.get(column, "0") for column in composed.extras},
            "maps": found.maps,
            "voxels_min": found.voxels_min,
            "voxels_mean": found.voxels_mean,
            "voxels_max": found.voxels_max,
        }


def class_numbers(entries: Sequence[LabelEntry], kept: str | None = None) -> tuple[int, ...]:
    """Give each group of labels the number of a Gaussian class.

    Parameters
    ----------
    entries
        Rows of the list, in its order.
    kept
        Source of the groups whose numbers stay, so that priors made for a list fit the updated one; all others are
        numbered in order of appearance.
    """
    numbers: dict[object, int] = {e.group: e.group[1] for e in entries if e.group is not None and e.group[0] == kept}
    unused = itertools.count(max(numbers.values(), default=-1) + 1)
    for entry in entries:
        if _group(entry) not in numbers:
            numbers[_group(entry)] = next(unused)
    return tuple(numbers[_group(entry)] for entry in entries)


def extra_columns(entries: Sequence[LabelEntry]) -> tuple[str, ...]:
    """Return the other columns that tables fill for all labels, such as classes and targets of other recipes.

    What is no target anywhere needs no value in a column about targets. Classes with a gap are left out.
    """
    columns = dict.fromkeys(column for entry in entries for column in entry.extra)
    return tuple(column for column in columns if _is_complete(column, entries))


def _is_complete(column: str, entries: Sequence[LabelEntry]) -> bool:
    cells = [entry.extra.get(column) for entry in entries]
    if column.startswith("output") or column in TABLE_COLUMNS:
        return all(cell or entry.output == 0 for cell, entry in zip(cells, entries, strict=True))
    if column.startswith("class"):
        numbers = {cell for cell in cells if cell}
        return all(cells) and numbers == {str(number) for number in range(len(numbers))}
    return all(cells)


def _source(update: Mapping[int, LabelEntry]) -> str | None:
    return next((entry.group[0] for entry in update.values() if entry.group is not None), None)


def _group(entry: LabelEntry) -> tuple[str, int]:
    return entry.group or ("own", entry.value)


def _about_guesses(entries: Iterable[LabelEntry], scan: LabelScan) -> list[str]:
    """Say which labels no table knows, and which of them lie on one side only."""
    guesses = [entry.value for entry in entries if not entry.known]
    if not guesses:
        return []
    one_sided = [value for value in guesses if _side_of(value, scan) is not None]
    which = f"{len(guesses)} labels ({values_text(guesses)})" if len(guesses) > 1 else f"label {guesses[0]}"
    text = f"no table knows {which}: taken as neutral, with a class of its own and as a target"
    hint = f"label {values_text(one_sided)} lies on one side of the head only" if one_sided else ""
    remedy = "; give names, sides and counterparts with --names if mirroring should exchange them"
    return [text, hint + remedy] if one_sided else [text]


def _side_of(value: int, scan: LabelScan) -> str | None:
    """Return the side on which a label lies in every map that has it, or ``None``."""
    offsets = [_offset(counts, value) for counts in scan.maps if value in counts.values]
    if all(offset < -_ONE_SIDED for offset in offsets):
        return "left"
    return "right" if all(offset > _ONE_SIDED for offset in offsets) else None


def _offset(counts: MapCounts, value: int) -> float:
    """Return how far right of the mean of all labels a label lies, in parts of their spread along that axis."""
    rows = [row for row in zip(counts.values, counts.voxels, counts.centres, strict=True) if row[0] != 0]
    total = sum(voxels for _, voxels, _ in rows)
    middle = sum(voxels * centre for _, voxels, centre in rows) / total
    spread = max(centre for *_, centre in rows) - min(centre for *_, centre in rows)
    centre = counts.centres[counts.values.index(value)]
    return (centre - middle) / spread if spread else 0.0


def _absent_counterparts(entries: Mapping[int, LabelEntry]) -> list[LabelEntry]:
    return [entry for entry in entries.values() if entry.side != "neutral" and entry.counterpart not in entries]


def _without_counterpart(alone: Sequence[LabelEntry], scan: LabelScan, entries: Mapping[int, LabelEntry]) -> InputError:
    first = alone[0]
    counts = next((counts for counts in scan.maps if first.value in counts.values), None)
    other = f"{first.counterpart}, which no map contains" if first.counterpart is not None else "not stated"
    return InputError(
        counts.path if counts else "label list",
        found=f"{first.side} label {first.value} ({first.name}) without its counterpart ({other})"
        + (f"; so are {values_text(entry.value for entry in alone)}" if len(alone) > 1 else ""),
        expected="left and right labels in pairs",
        remedy=_remedy(
            counts,
            entries,
            "use --add-counterparts if mirrored heads should have it, or call the label neutral with --names",
        ),
    )


def _remedy(counts: MapCounts | None, entries: Mapping[int, LabelEntry], otherwise: str) -> str:
    """Return what to do about a map, unless it has so many unknown values that it must be a scan."""
    unknown = 0 if counts is None else sum(not entries[value].known for value in counts.values)
    return "give label maps, not scans" if unknown > SCAN_LIKE else otherwise


def _known_counterpart(entry: LabelEntry, known: Mapping[int, LabelEntry]) -> LabelEntry:
    if entry.counterpart is not None and entry.counterpart in known:
        return known[entry.counterpart]
    stated = "no counterpart" if entry.counterpart is None else f"the unknown counterpart {entry.counterpart}"
    raise InputError(
        f"label {entry.value}",
        found=f"the side {entry.side} and {stated}",
        expected="a counterpart that a table knows",
        remedy=_TO_LIST,
    )


def _check_pairs(entries: Mapping[int, LabelEntry]) -> None:
    """Refuse rows that contradict each other; all counterparts of sided labels are present."""
    for entry in entries.values():
        other = entries.get(entry.value if entry.counterpart is None else entry.counterpart)
        if other is None or other.counterpart != entry.value or other.side != OPPOSITE[entry.side]:
            raise InputError(
                f"label {entry.value}",
                found=f"{entry.side}, with {_described(other, entry)} as counterpart",
                expected="mutual pairs of a left and a right label, or neutral labels that are their own counterpart",
                remedy=_TO_LIST,
            )


def _described(other: LabelEntry | None, entry: LabelEntry) -> str:
    if other is None:
        return f"{entry.counterpart}, which is not in the list,"
    return f"{other.value} ({other.side}, counterpart {other.counterpart})"


def _check_position(counts: MapCounts, entries: Mapping[int, LabelEntry]) -> None:
    """Refuse a map whose left labels lie right of its right labels: its axes, or the table, are wrong."""
    left, right = (_pair_centre(counts, entries, side) for side in ("left", "right"))
    if left is not None and right is not None and left > right:
        raise InputError(
            counts.path,
            found="left labels to the right of the right labels",
            expected="left labels on the left, by the axes in the header",
            remedy=_remedy(counts, entries, "correct the header (sform/qform) or the sides in the table"),
        )


def _pair_centre(counts: MapCounts, entries: Mapping[int, LabelEntry], side: str) -> float | None:
    """Return the mean position of the labels of one side whose counterpart the map has too; each pair counts once."""
    centres = [
        centre
        for value, centre in zip(counts.values, counts.centres, strict=True)
        if entries[value].side == side and entries[value].counterpart in counts.values
    ]
    return sum(centres) / len(centres) if centres else None


def _ordered(entries: Mapping[int, LabelEntry]) -> tuple[LabelEntry, ...]:
    """Return background, the other neutral labels, left labels, right labels in the order of their counterparts."""
    rows = {side: [entry for entry in entries.values() if entry.side == side] for side in OPPOSITE}
    left = rows["left"]
    right = [entries[entry.counterpart] for entry in left if entry.counterpart is not None]
    return (*rows["neutral"], *left, *right)
