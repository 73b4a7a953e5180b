"""Volumes of all scans: wide (one row a scan), long (one row a structure), and sums of structures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TypeAlias

from synthseg_core.bids.description import VOLUME_COLUMNS
from synthseg_core.reports.gathering import OfScan
from synthseg_core.reports.origins import KEY_COLUMNS, key_cells
from synthseg_core.reports.origins import MAKER_COLUMNS
from synthseg_core.reports.volumes import Adder, sums_of
from synthseg_core.reports.volumes import ABSENT, Sizes, Structure, text_of

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
        _word(one.name): {"Description": f"{one.name}: soft volumes of {one.description}", "Units": "mm^3"}
        for one in sums_of(segmentation)
        if one.name in found
    }


def grouped_rows(entries: _Entries, segmentation: str) -> Iterator[Mapping[str, str | None]]:
    """Yield one row a scan with its sums."""
    adder = Adder(sums_of(segmentation))
    for entry in entries:
        sums = {_word(name): text_of(volume) for name, volume in adder.of(entry.numbers).items()}
        yield {**key_cells(entry.row), **entry.maker.cells(), **sums}


def _column_names(entries: _Entries) -> dict[tuple[str, str], str]:
    """Return a column for each structure; two structures of one name keep columns of their own."""
    names: dict[tuple[str, str], str] = {}
    for entry in _kinds(entries):
        for index, name, _ in entry.numbers.structures:
            if (index, name) not in names:
                word = _word(name)
                taken = word in names.values()
                names[index, name] = f"{word.removesuffix('_mm3')}_{index}_mm3" if taken else word
    return names


def _kinds(entries: Iterable[OfScan[Sizes]]) -> list[OfScan[Sizes]]:
    """Return one scan for each list of structures, in order."""
    return list({entry.numbers.structures: entry for entry in reversed(list(entries))}.values())[::-1]


@cache
def _word(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower()).strip("_") + "_mm3"
