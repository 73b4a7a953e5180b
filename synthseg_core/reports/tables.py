"""``group_scans.tsv``: one row an image - what became of it, why, and what is doubtful about its results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from synthseg_core.reports.gathering import GroupTables
from synthseg_core.reports.origins import KEY_COLUMNS, key_cells
from synthseg_core.reports.origins import MAKER_COLUMNS, Origin
from synthseg_core.reports.statuses import ScanStatus

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
