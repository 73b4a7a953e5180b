"""Volumes of all scans in three forms: a row a structure (long), a row a scan (wide), and sums of structures.

The sums that people ask for - both sides, tissues, lobes - are data, applied to finished volumes. A sum is given for a
scan only if its table has every member by number and by name: a model that lacks a structure, or uses its number for
something else, has no such sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from synthseg_core.bids.columns import VOLUME_COLUMNS
from synthseg_core.reports.gathering import Lines, ScanNumbers
from synthseg_core.reports.origins import GENERATED_BY_COLUMNS
from synthseg_core.reports.tables import SCAN_COLUMNS, Table, column_name, generators_of, scan_cells, text_frame
from synthseg_core.resources import resource
from synthseg_core.system.tables import read_tsv

# Segmentation -> tables in resources/groupings that are about it.
GROUPINGS = {"synthseg": ("tissues", "bilateral"), "synthsegparc": ("lobes", "bilateral_parcels")}
_TEXTS = ["index", "name", "hemisphere"]
_NUMBERS = ["soft_volume_mm3", "hard_volume_mm3"]


@dataclass(frozen=True)
class StructureSum:
    """A named sum of structures; ``members`` are labels with their names."""

    name: str
    members: tuple[tuple[str, str], ...]

    @property
    def column(self) -> dict[str, dict[str, str]]:
        """Its column with what is added up."""
        description = f"{self.name}: soft volumes of {' + '.join(name for _, name in self.members)}"
        return {f"{column_name(self.name)}_mm3": {"Description": description, "Units": "mm^3"}}


@cache
def sums_of(segmentation: str) -> tuple[StructureSum, ...]:
    """Return the sums of a segmentation, in the order of their tables."""
    return tuple(one for table in GROUPINGS[segmentation] for one in read_sums(resource("groupings", f"{table}.tsv")))


def read_sums(path: Path) -> tuple[StructureSum, ...]:
    """Read a table with the columns group, label, name; a group has one row a member."""
    members: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in read_tsv(path, required=("group", "label", "name")):
        members[row["group"]].append((row["label"], row["name"]))
    return tuple(StructureSum(name, tuple(parts)) for name, parts in members.items())


class GroupVolumes:
    """Volumes of scans; a table of each form.

    Parameters
    ----------
    entries
        Numbers of the scans that have volumes of one segmentation.
    """

    def __init__(self, entries: Sequence[ScanNumbers]) -> None:
        self._entries = entries
        self._scans = text_frame(map(scan_cells, entries), [*SCAN_COLUMNS, *GENERATED_BY_COLUMNS])
        self._volumes = _volumes_of(entries)
        # Of tables with different structures, the one that was met last comes last.
        self._kinds = list(dict.fromkeys(entry.lines for entry in reversed(entries)))[::-1]

    def long(self) -> Table:
        """Return one row a structure of a scan."""
        scans = self._scans[list(SCAN_COLUMNS)].astype("category").take(self._volumes["scan_number"])
        cells = pd.concat([scans.reset_index(drop=True), self._volumes], axis=1)
        return Table(cells, {**SCAN_COLUMNS, **VOLUME_COLUMNS}, generators_of(self._entries))

    def wide(self) -> Table:
        """Return one row a scan with the soft volume of each structure."""
        names = _column_names(self._kinds)
        columns = {
            column: {"Description": f"Soft volume of {name}", "Units": "mm^3"} for (_, name), column in names.items()
        }
        keys = [names[index, name] for entry in self._entries for index, name, _ in entry.lines]
        return self._of_scans(self._soft(self._volumes.assign(column=keys), ["column"]), columns)

    def summed(self, sums: Sequence[StructureSum]) -> Table:
        """Return one row a scan with its sums of soft volumes; sums that no scan has take no column."""
        structures = [{(index, name) for index, name, _ in lines} for lines in self._kinds]
        known = [one for one in sums if any(set(one.members) <= found for found in structures)]
        soft = self._soft(self._volumes, ["index", "name"])
        cells = {column: sum(soft[member] for member in one.members) for one in known for column in one.column}
        columns = {column: meaning for one in known for column, meaning in one.column.items()}
        return self._of_scans(pd.DataFrame(cells), columns)

    def _soft(self, volumes: pd.DataFrame, key: list[str]) -> pd.DataFrame:
        """Return soft volumes with one row a scan; of lines with the same key the last counts."""
        single = volumes.drop_duplicates(["scan_number", *key], keep="last")
        return single.pivot(index="scan_number", columns=key, values="soft_volume_mm3")

    def _of_scans(self, volumes: pd.DataFrame, columns: dict[str, dict[str, str]]) -> Table:
        cells = self._scans.join(volumes.reindex(columns=list(columns)))
        return Table(cells, {**SCAN_COLUMNS, **GENERATED_BY_COLUMNS, **columns}, generators_of(self._entries))


def _volumes_of(entries: Sequence[ScanNumbers]) -> pd.DataFrame:
    """Return the lines of all scans, with the number of the scan."""
    lines = [line for entry in entries for line in entry.lines]
    volumes = pd.DataFrame(lines, columns=_TEXTS, dtype="category")
    volumes["scan_number"] = np.repeat(np.arange(len(entries)), [len(entry.lines) for entry in entries])
    for place, column in enumerate(_NUMBERS):
        volumes[column] = np.fromiter(chain.from_iterable(entry.columns[place] for entry in entries), float)
    return volumes


def _column_names(kinds: Sequence[Lines]) -> dict[tuple[str, str], str]:
    """Return a column for each structure; two structures of one name keep columns of their own."""
    names: dict[tuple[str, str], str] = {}
    for index, name, _ in chain.from_iterable(kinds):
        if (index, name) not in names:
            word = column_name(name)
            taken = f"{word}_mm3" in names.values()
            names[index, name] = f"{word}_{index}_mm3" if taken else f"{word}_mm3"
    return names
