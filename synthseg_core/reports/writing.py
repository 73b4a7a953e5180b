"""Write the group tables, each beside a JSON file that explains its columns and names the models behind its numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from synthseg_core.bids.participants import write_participants
from synthseg_core.errors import InputError
from synthseg_core.reports.gathering import GroupTables
from synthseg_core.reports.origins import generated_by
from synthseg_core.reports.tables import (
    GROUPED_COLUMNS,
    LONG_COLUMNS,
    grouped_columns,
    grouped_rows,
    long_rows,
    quality_columns,
    quality_rows,
    scan_columns,
    scan_rows,
    wide_columns,
    wide_rows,
)
from synthseg_core.reports.volumes import ABSENT
from synthseg_core.system.atomic import atomic_path, write_json

SCANS_NAME = "group_scans"
WIDE_NAME = "group_seg-synthseg_volumes"
LONG_NAME = "group_seg-synthseg_desc-long_volumes"
GROUPED_NAME = "group_seg-synthseg_desc-grouped_volumes"
QUALITY_NAME = "group_qc"
QUALITY_THRESHOLD = 0.65
"""Scores below get a flag where nobody asks for another threshold; a value to start from, no more."""

Row: TypeAlias = Mapping[str, str | None] | Sequence[str]
"""Cells by column, or all of them in the order of the columns."""
_Columns: TypeAlias = Mapping[str, Mapping[str, Any]]


def write_group_tables(tables: GroupTables, folder: Path, *, threshold: float = QUALITY_THRESHOLD) -> None:
    """Write all tables, and ``participants.tsv`` with the participants of all scans.

    Parameters
    ----------
    threshold
        Scores below it are flagged; nothing is left out because of it.

    Raises
    ------
    InputError
        If no scan is known; the tables of an earlier run stay as they are.
    """
    if not tables.statuses:
        raise InputError(
            folder, found="no scan to gather", expected="a scan table with scans", remedy="check the dataset"
        )
    write_participants(folder, (status.row.participant_id for status in tables.statuses))
    makers = [origin.maker for origin in tables.origins if origin.maker.model]
    _write(folder / SCANS_NAME, scan_rows(tables), scan_columns(tables.stages), generated_by(makers))
    for segmentation in tables.volumes:
        _write_volumes(tables, segmentation, folder)
    if "qc" in tables.stages:
        columns = quality_columns(tables.scores, threshold)
        made = generated_by(entry.maker for entry in tables.scores)
        _write(folder / QUALITY_NAME, quality_rows(tables.scores, threshold), columns, made)


def _write_volumes(tables: GroupTables, segmentation: str, folder: Path) -> None:
    entries = tables.volumes[segmentation]
    made = generated_by(entry.maker for entry in entries)
    names = (name.replace("seg-synthseg_", f"seg-{segmentation}_") for name in (WIDE_NAME, LONG_NAME, GROUPED_NAME))
    wide, long, grouped = (folder / name for name in names)
    _write(wide, wide_rows(entries), wide_columns(entries), made)
    _write(long, long_rows(entries), LONG_COLUMNS, made)
    _write(
        grouped,
        grouped_rows(entries, segmentation),
        {**GROUPED_COLUMNS, **grouped_columns(entries, segmentation)},
        made,
    )


def _write(path: Path, rows: Iterable[Row], columns: _Columns, made: list[dict[str, Any]]) -> None:
    """Write a table row by row, so that memory does not grow with it, and its JSON file."""
    table = path.with_name(f"{path.name}.tsv")
    with atomic_path(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(_cells(row, columns) for row in rows)
    write_json(path.with_name(f"{path.name}.json"), {**columns, "GeneratedBy": made})


def _cells(row: Row, columns: _Columns) -> Sequence[str]:
    """Return the cells in the order of the columns, ``n/a`` for absent ones as BIDS asks."""
    if not isinstance(row, Mapping):
        return row
    return [row.get(column) or ABSENT for column in columns]
