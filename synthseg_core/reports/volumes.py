"""Volumes of one scan in little memory: numbers in arrays, structures shared by all scans that have the same ones.

Sums of structures that people ask for - both sides, tissues, lobes - as data, applied to finished volumes.

A sum is given for a scan only if its table has every member by number and by name: a model that lacks a structure, or
uses its number for something else, has no such sum.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from synthseg_core.bids.columns import VOLUME_COLUMNS
from synthseg_core.errors import InputError
from synthseg_core.resources import resource
from synthseg_core.system.tables import read_tsv

Structure: TypeAlias = tuple[str, str, str]
"""Index, name and hemisphere, as in the table of a scan."""
ABSENT = "n/a"
_DECIMALS = 3


@dataclass(frozen=True)
class Sizes:
    """Volumes of one scan, mm³; NaN where one was not measured.

    Parameters
    ----------
    structures
        In the order of the table.
    soft, hard
        One number a structure.
    """

    structures: tuple[Structure, ...]
    soft: array[float]
    hard: array[float]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the rows of the table, with the columns of ``VOLUME_COLUMNS``."""
        for structure, soft, hard in zip(self.structures, self.soft, self.hard, strict=True):
            yield (*structure, text_of(soft), text_of(hard))


class SizesReader:
    """Reads tables of volumes; keeps each list of structures once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Structure, ...], tuple[Structure, ...]] = {}

    def read(self, path: Path) -> Sizes:
        """Read the table of one scan; ``InputError`` if it is damaged."""
        rows = read_tsv(path, required=tuple(VOLUME_COLUMNS))
        structures = tuple((row["index"], row["name"], row["hemisphere"]) for row in rows)
        try:
            soft, hard = (array("d", [_number(row[f"{kind}_volume_mm3"]) for row in rows]) for kind in ("soft", "hard"))
        except ValueError as error:
            raise InputError(path, found=str(error), expected="volumes in mm^3", remedy="make it again") from error
        return Sizes(self._known.setdefault(structures, structures), soft, hard)


def text_of(volume_mm3: float) -> str:
    """Return a volume as tables have it."""
    return ABSENT if volume_mm3 != volume_mm3 else f"{volume_mm3:.{_DECIMALS}f}"


def _number(text: str) -> float:
    return float("nan") if text == ABSENT else float(text)


# Segmentation -> tables in resources/groupings that are about it.
GROUPINGS = {"synthseg": ("tissues", "bilateral"), "synthsegparc": ("lobes", "bilateral_parcels")}


@dataclass(frozen=True)
class Sum:
    """A named sum of structures; ``members`` are labels with their names."""

    name: str
    members: tuple[tuple[str, str], ...]

    @property
    def description(self) -> str:
        """What is added up."""
        return " + ".join(name for _, name in self.members)


@cache
def sums_of(segmentation: str) -> tuple[Sum, ...]:
    """Return the sums of a segmentation, in the order of their tables."""
    return tuple(one for table in GROUPINGS[segmentation] for one in read_sums(_folder() / f"{table}.tsv"))


def read_sums(path: Path) -> tuple[Sum, ...]:
    """Read a table with the columns group, label, name; a group has one row a member."""
    members: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in read_tsv(path, required=("group", "label", "name")):
        members[row["group"]].append((row["label"], row["name"]))
    return tuple(Sum(name, tuple(parts)) for name, parts in members.items())


class Adder:
    """Applies sums to the volumes of scans; where their members stand is looked up once for each kind of table."""

    def __init__(self, sums: Sequence[Sum]) -> None:
        self._sums = sums
        self._places: dict[tuple[Structure, ...], dict[str, list[int]]] = {}

    def of(self, sizes: Sizes) -> Mapping[str, float]:
        """Return the sums that are complete, mm³, of soft volumes."""
        places = self._places.get(sizes.structures)
        if places is None:
            places = self._places.setdefault(sizes.structures, _places(self._sums, sizes.structures))
        return {name: sum(sizes.soft[place] for place in where) for name, where in places.items()}


def _places(sums: Sequence[Sum], structures: Sequence[Structure]) -> dict[str, list[int]]:
    known = {(index, name): place for place, (index, name, _) in enumerate(structures)}
    complete = (one for one in sums if all(member in known for member in one.members))
    return {one.name: [known[member] for member in one.members] for one in complete}


def _folder() -> Path:
    return resource("groupings")
