"""Temporary files that killed jobs left among the derivatives."""

from __future__ import annotations

from pathlib import Path

from synthseg_core.app.plan import Plan
from synthseg_core.system.temporary import remove_abandoned


def remove_leftovers(plan: Plan) -> None:
    """Remove temporary files of dead processes from every folder that this run writes to."""
    for folder in {Path(path).parent for path in plan.all_files()} | {plan.layout.settings("segment").parent}:
        remove_abandoned(folder)
