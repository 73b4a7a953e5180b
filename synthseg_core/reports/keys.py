"""Columns that say which scan a row of a group table is about."""

from __future__ import annotations

from synthseg_core.bids.scan_row import ScanRow

KEY_COLUMNS: dict[str, dict[str, str]] = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session; n/a where the dataset has none"},
    "suffix": {"Description": "Kind of scan, for instance T1w"},
    "scan": {"Description": "First part of the paths of the scan's derivatives"},
}


def key_cells(row: ScanRow) -> dict[str, str | None]:
    """Return the cells of a scan."""
    return {key: getattr(row, key) or None for key in KEY_COLUMNS}
