"""The group level: what became of every scan, and the numbers of all of them, from derivatives and logs alone."""

from synthseg_core.reports.gathering import GroupTables, gather
from synthseg_core.reports.statuses import STATUSES, Present, ScanStatus
from synthseg_core.reports.writing import (
    GROUPED_NAME,
    LONG_NAME,
    QUALITY_NAME,
    QUALITY_THRESHOLD,
    SCANS_NAME,
    WIDE_NAME,
    write_group_tables,
)

__all__ = [
    "GROUPED_NAME",
    "LONG_NAME",
    "QUALITY_NAME",
    "QUALITY_THRESHOLD",
    "SCANS_NAME",
    "STATUSES",
    "WIDE_NAME",
    "GroupTables",
    "Present",
    "ScanStatus",
    "gather",
    "write_group_tables",
]
