"""What the group tables say, read for the group report; all it needs, beside the judgements of single scans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from synthseg_core.bids.names import report_name
from synthseg_core.bids.participant_table import ParticipantTable, read_participants
from synthseg_core.bids.participants import NAME as PARTICIPANTS
from synthseg_core.errors import InputError
from synthseg_core.reports.page_files import ALWAYS, FIGURES, JUDGEMENT, THUMBNAIL, figure_path
from synthseg_core.reports.plausibility import Plausibility
from synthseg_core.reports.review import Reviews, read_reviews
from synthseg_core.reports.writing import QUALITY_NAME, SCANS_NAME, WIDE_NAME
from synthseg_core.system.delimited import folded
from synthseg_core.system.settings import known_mapping
from synthseg_core.system.tables import ABSENT, read_tsv

Rows: TypeAlias = list[dict[str, str]]
"""Cells as text by column, one mapping a line."""

TOTAL = "total_intracranial_mm3"
_SUFFIX = "_mm3"
_MOST_LEVELS, _MOST_COLUMNS = 6, 4
# By which people compare scans; of many columns these are shown.
_USUAL = ("age", "sex", "gender", "group", "diagnosis")


@dataclass(frozen=True)
class GroupFacts:
    """Tables at the top of a derivative dataset.

    Parameters
    ----------
    dataset
        Derivative dataset.
    """

    dataset: Path

    @cached_property
    def table(self) -> Rows:
        """Every image; absent cells are empty."""
        path = self.dataset / f"{SCANS_NAME}.tsv"
        if not path.is_file():
            raise InputError(
                self.dataset,
                found=f"no {path.name}",
                expected="the group tables",
                remedy="run: synthseg group, or synthseg-bids ... group",
            )
        return _read(path)

    @cached_property
    def scans(self) -> Rows:
        """The images that are taken for scans."""
        return [row for row in self.table if row["status"] != "skipped" and row["scan"]]

    @cached_property
    def others(self) -> Rows:
        """The images that are not, each with the reason."""
        return [row for row in self.table if row["status"] == "skipped" or not row["scan"]]

    def column(self, name: str) -> list[str]:
        """Return the cells of a column of all scans."""
        return [row[name] for row in self.scans]

    @cached_property
    def names(self) -> list[str]:
        """What page and pictures of each scan are called."""
        return [report_name(stem) for stem in self.column("scan")]

    @cached_property
    def pages(self) -> list[bool]:
        """Whether each scan has a page."""
        return [(self.dataset / f"{name}.html").is_file() for name in self.names]

    @cached_property
    def thumbnails(self) -> list[str]:
        """Path of a small picture of each scan; empty where there is none."""
        paths = (figure_path(name, THUMBNAIL) for name in self.names)
        return [path if Path(path).name in self._figures else "" for path in paths]

    @cached_property
    def complete(self) -> list[bool]:
        """Whether each scan has its page with everything that belongs to one."""
        needed = ([Path(figure_path(name, kind)).name for kind in ALWAYS] for name in self.names)
        return [page and self._figures.issuperset(names) for page, names in zip(self.pages, needed, strict=True)]

    @cached_property
    def _figures(self) -> frozenset[str]:
        """Names of all files beside the pages."""
        folder = self.dataset / FIGURES
        return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()

    @cached_property
    def judgements(self) -> list[Plausibility | None]:
        """Signs in the label map of each scan, from its own report."""
        return [self._judgement(name) for name in self.names]

    @cached_property
    def volumes(self) -> dict[str, np.ndarray]:
        """Column -> soft volumes of the scans, mm^3; NaN where there is none."""
        rows = self._of_scans(WIDE_NAME)
        columns = dict.fromkeys(name for row in rows for name in row if name.endswith(_SUFFIX))
        return {name: _numbers(row.get(name, "") for row in rows) for name in columns}

    @cached_property
    def scores(self) -> dict[str, np.ndarray]:
        """Group of structures -> quality scores of the scans."""
        rows = self._of_scans(QUALITY_NAME)
        others = {"flag", "low_groups", "lowest", *(name for row in self.table for name in row)}
        meanings = known_mapping(self.dataset / f"{QUALITY_NAME}.json")
        columns = dict.fromkeys(name for row in rows for name in row if name in meanings and name not in others)
        return {name: _numbers(row.get(name, "") for row in rows) for name in columns}

    @cached_property
    def participants(self) -> dict[str, list[str]]:
        """Column of ``participants.tsv`` -> its text for each scan.

        There are not many: age, sex and group come first, then those that differ between scans, and none that is empty.
        """
        known = self._participants.rows
        rows = [known.get(participant, {}) for participant in self.column("participant_id")]
        texts = {name: [_text(row.get(name, "")) for row in rows] for name in self._participants.columns}
        told = [name for name, cells in texts.items() if any(cells)]
        by_use = sorted(told, key=lambda name: (folded(name) not in _USUAL, len({*texts[name]}) == 1))
        return {name: texts[name] for name in told if name in by_use[:_MOST_COLUMNS]}

    @cached_property
    def _participants(self) -> ParticipantTable:
        path = self.dataset / PARTICIPANTS
        if not path.is_file():
            return ParticipantTable()
        try:
            return read_participants(path, {*self.column("participant_id")})
        except InputError as error:
            return ParticipantTable(notes=(str(error),))

    @property
    def notes(self) -> tuple[str, ...]:
        """What of participants and reviews could not be used."""
        return (*self._participants.notes, *self.reviews.notes(self.names))

    def levels(self, column: str) -> list[str]:
        """Return a word for each scan by which it can be compared: a category, or a third of a range of numbers."""
        texts = self.participants[column]
        known = [text for text in dict.fromkeys(texts) if text]
        numbers = _numbers(texts)
        if 2 <= len(known) <= _MOST_LEVELS:
            return texts
        if len(known) < 2 or np.isfinite(numbers).sum() < sum(map(bool, texts)):
            return []
        first, low, high, last = np.nanquantile(numbers, (0, 1 / 3, 2 / 3, 1))
        words = [f"{first:g} to {low:g}", f"over {low:g} to {high:g}", f"over {high:g} to {last:g}"]
        return ["" if np.isnan(one) else words[int(one > low) + int(one > high)] for one in numbers]

    @cached_property
    def generators(self) -> list[Mapping[str, Any]]:
        """Programs and models behind the results, with the number of scans of each."""
        return known_mapping(self.dataset / f"{SCANS_NAME}.json").get("GeneratedBy") or []

    @cached_property
    def reviews(self) -> Reviews:
        """What people thought of the scans so far."""
        return read_reviews(self.dataset)

    def _of_scans(self, name: str) -> Rows:
        """Return a group table with a row for each scan, in their order; empty rows where it has none."""
        path = self.dataset / f"{name}.tsv"
        known = {row["scan"]: row for row in (_read(path) if path.is_file() else [])}
        return [known.get(stem, {}) for stem in self.column("scan")]

    def _judgement(self, name: str) -> Plausibility | None:
        content = known_mapping(self.dataset / figure_path(name, JUDGEMENT))
        try:
            return Plausibility(**content) if content else None
        except TypeError:  # of another version
            return None


def title_of(column: str) -> str:
    """Return the name of a structure from the name of its column."""
    return column.removesuffix(_SUFFIX).replace("_", " ")


def _read(path: Path) -> Rows:
    return [{name: _text(cell) for name, cell in row.items()} for row in read_tsv(path)]


def _text(cell: str) -> str:
    return "" if cell == ABSENT else cell


def _numbers(texts: Iterable[str]) -> np.ndarray:
    return np.array([_number(text) for text in texts], float)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
