"""What the group level gathers when it is called by itself: whatever runs have left, from whichever work folder."""

from __future__ import annotations

from collections.abc import Sequence

from synthseg_core.app.layout import Layout
from synthseg_core.app.plan import Plan
from synthseg_core.bids.names import STAGES, products_of
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.scan_table import read_table

# Stages whose results group tables hold, beside those of the segmentation.
_GATHERED = ("parcellate", "qc")


def rows_to_gather(plan: Plan) -> tuple[ScanRow, ...]:
    """Return the scans of the last run's table, and those of the dataset that other runs have left something of.

    Without a table: all scans of the dataset. Without the dataset: those of the table.
    """
    table = plan.layout.scan_table
    known = read_table(table) if table.is_file() else ()
    if not known:
        return plan.rows
    if not plan.dataset.exists():
        return known
    stems = {row.scan for row in known}
    others = [row for row in plan.found if row.scan not in stems and _has_traces(plan.layout, row)]
    return tuple(sorted([*known, *others], key=lambda row: row.path)) if others else known


def stages_to_gather(plan: Plan, rows: Sequence[ScanRow]) -> tuple[str, ...]:
    """Return the stages that are asked for, and those that any scan has results of."""
    made = [stage for stage in _GATHERED if any(_is_made(plan.layout, stage, row) for row in rows)]
    return tuple(stage for stage in STAGES if stage in plan.stages or stage in made)


def _has_traces(layout: Layout, row: ScanRow) -> bool:
    return bool(row.scan) and (_is_made(layout, "segment", row) or layout.log("segment", row.scan).is_file())


def _is_made(layout: Layout, stage: str, row: ScanRow) -> bool:
    return bool(row.scan) and layout.derivative(row.scan, products_of(stage)[0]).is_file()
