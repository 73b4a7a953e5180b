"""Volumes of one scan in little memory: numbers in arrays, structures shared by all scans that have the same ones."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from synthseg_core.bids.description import VOLUME_COLUMNS
from synthseg_core.errors import InputError
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
