"""``group_scans.tsv``: one row an image - what became of it, why, and what is doubtful about its results.

``group_qc.tsv``: predicted overlap of groups of structures, one row a scan, with a flag that excludes nothing.

Volumes of all scans: wide (one row a scan), long (one row a structure), and sums of structures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from synthseg_core.bids.columns import VOLUME_COLUMNS
from synthseg_core.reports.gathering import GroupTables, OfScan, Scores
from synthseg_core.reports.origins import KEY_COLUMNS, MAKER_COLUMNS, Origin, key_cells
from synthseg_core.reports.statuses import ScanStatus
from synthseg_core.reports.volumes import ABSENT, Adder, Sizes, Structure, sums_of, text_of

_LEVELS = {
    "done": "everything that was asked for is there",
    "failed": "could not be made; see stage and reason",
    "missing": "not made yet, or ended without leaving a reason",
    "skipped": "not taken for a scan; see reason",
}
_STATUS_COLUMNS: dict[str, dict[str, Any]] = {
    **KEY_COLUMNS,
    "path": {"Description": "The scan, relative to its dataset"},
    "status": {"Description": "What became of the scan", "Levels": _LEVELS},
    "stage": {"Description": "Stage that failed or is missing"},
    "reason": {"Description": "Why the scan is not done"},
    "log": {"Description": "Log of that stage, or of the segmentation, relative to this dataset"},
    "warnings": {"Description": "Number of doubts about scan, weights and result"},
    "warning_text": {"Description": "These doubts, separated by semicolons"},
    **MAKER_COLUMNS,
}
# A stage with a name that a column has already would hide it.
_PREFIX = "stage_"


def scan_columns(stages: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the columns, with one for each stage."""
    levels = {status: text for status, text in _LEVELS.items() if status != "skipped"}
    added = {f"{_PREFIX}{stage}": {"Description": f"Status of the stage {stage}", "Levels": levels} for stage in stages}
    return {**_STATUS_COLUMNS, **added}


def scan_rows(tables: GroupTables) -> Iterator[dict[str, str | None]]:
    """Yield the row of each image."""
    for status, origin in zip(tables.statuses, tables.origins, strict=True):
        stages = {f"{_PREFIX}{stage}": status.stages.get(stage) for stage in tables.stages}
        yield {**_cells(status, origin), **stages}


def _cells(status: ScanStatus, origin: Origin) -> dict[str, str | None]:
    cells = {
        "path": status.row.path,
        "status": status.status,
        "stage": status.stage,
        "reason": status.reason,
        "log": status.log,
        "warnings": str(len(origin.warnings)) if origin.maker.model or origin.warnings else "",
        "warning_text": "; ".join(origin.warnings),
    }
    return {**key_cells(status.row), **{key: value or None for key, value in cells.items()}, **origin.maker.cells()}


# As in the tables of single scans.
_DECIMALS = 4


def quality_columns(entries: Sequence[OfScan[Scores]], threshold: float) -> dict[str, dict[str, Any]]:
    """Return the columns: a score for each group, the lowest of them, and the flag."""
    groups = dict.fromkeys(name for names in {entry.numbers.names: None for entry in entries} for name in names)
    meaning = "Dice coefficient with the true structures as a network predicts it, 0 to 1, 1 perfect"
    return {
        **KEY_COLUMNS,
        **MAKER_COLUMNS,
        **{_column(name): {"Description": f"{name}: {meaning}"} for name in groups},
        "lowest": {"Description": "Lowest of these scores"},
        "flag": {
            "Description": "Whether to look at the scan; nothing is left out of any table because of it",
            "Levels": {"low": f"a score is below {threshold:g}", "ok": "none is"},
        },
        "low_groups": {"Description": f"Groups whose score is below {threshold:g}, separated by commas"},
    }


def quality_rows(entries: Sequence[OfScan[Scores]], threshold: float) -> Iterator[Mapping[str, str | None]]:
    """Yield one row a scan."""
    for entry in entries:
        scores = dict(zip(entry.numbers.names, entry.numbers.values, strict=True))
        low = [name for name, score in scores.items() if not score >= threshold]
        yield {
            **key_cells(entry.row),
            **entry.maker.cells(),
            **{_column(name): f"{score:.{_DECIMALS}f}" for name, score in scores.items()},
            "lowest": f"{min(scores.values()):.{_DECIMALS}f}" if scores else None,
            "flag": "low" if low else "ok",
            "low_groups": ", ".join(low) or None,
        }


@cache
def _column(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower()).strip("_")


_Entries: TypeAlias = Sequence[OfScan[Sizes]]

LONG_COLUMNS = {**KEY_COLUMNS, **VOLUME_COLUMNS}
GROUPED_COLUMNS = {**KEY_COLUMNS, **MAKER_COLUMNS}


def long_rows(entries: _Entries) -> Iterator[tuple[str, ...]]:
    """Yield one row a structure; a million rows should take seconds, so they are no dictionaries."""
    for entry in entries:
        keys = tuple(cell or ABSENT for cell in key_cells(entry.row).values())
        for structure in entry.numbers.rows():
            yield keys + structure


def wide_columns(entries: _Entries) -> dict[str, dict[str, str]]:
    """Return the columns of the wide table; structures come in the order in which scans first have them."""
    names = _column_names(entries)
    structures = {
        column: {"Description": f"Soft volume of {name}", "Units": "mm^3"} for (_, name), column in names.items()
    }
    return {**KEY_COLUMNS, **MAKER_COLUMNS, **structures}


def wide_rows(entries: _Entries) -> Iterator[Mapping[str, str | None]]:
    """Yield one row a scan with the soft volume of each structure."""
    names = _column_names(entries)
    columns: dict[tuple[Structure, ...], list[str]] = {}
    for entry in entries:
        structures = entry.numbers.structures
        if structures not in columns:
            columns[structures] = [names[index, name] for index, name, _ in structures]
        volumes = dict(zip(columns[structures], map(text_of, entry.numbers.soft), strict=True))
        yield {**key_cells(entry.row), **entry.maker.cells(), **volumes}


def grouped_columns(entries: _Entries, segmentation: str) -> dict[str, dict[str, str]]:
    """Return the columns of those sums that some scan has."""
    adder = Adder(sums_of(segmentation))
    found = {name for entry in _kinds(entries) for name in adder.of(entry.numbers)}
    return {
        _volume_column(one.name): {"Description": f"{one.name}: soft volumes of {one.description}", "Units": "mm^3"}
        for one in sums_of(segmentation)
        if one.name in found
    }


def grouped_rows(entries: _Entries, segmentation: str) -> Iterator[Mapping[str, str | None]]:
    """Yield one row a scan with its sums."""
    adder = Adder(sums_of(segmentation))
    for entry in entries:
        sums = {_volume_column(name): text_of(volume) for name, volume in adder.of(entry.numbers).items()}
        yield {**key_cells(entry.row), **entry.maker.cells(), **sums}


def _column_names(entries: _Entries) -> dict[tuple[str, str], str]:
    """Return a column for each structure; two structures of one name keep columns of their own."""
    names: dict[tuple[str, str], str] = {}
    for entry in _kinds(entries):
        for index, name, _ in entry.numbers.structures:
            if (index, name) not in names:
                word = _volume_column(name)
                taken = word in names.values()
                names[index, name] = f"{word.removesuffix('_mm3')}_{index}_mm3" if taken else word
    return names


def _kinds(entries: Iterable[OfScan[Sizes]]) -> list[OfScan[Sizes]]:
    """Return one scan for each list of structures, in order."""
    return list({entry.numbers.structures: entry for entry in reversed(list(entries))}.values())[::-1]


@cache
def _volume_column(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower()).strip("_") + "_mm3"
