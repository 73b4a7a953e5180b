"""Temporary files that killed jobs left among the derivatives."""

from __future__ import annotations

import re
from pathlib import Path

from synthseg_core.app.lock import is_alive
from synthseg_core.app.plan import Plan

# As synthseg_core.atomic names them.
_TEMPORARY = re.compile(r"\.tmp-(\d+)-[0-9a-f]+")


def remove_leftovers(plan: Plan) -> None:
    """Remove temporary files of dead processes from every folder that this run writes to."""
    folders = {Path(path).parent for path in plan.targets()} | {plan.layout.settings("segment").parent}
    for folder in folders:
        for path in folder.glob(".tmp-*"):
            match = _TEMPORARY.match(path.name)
            if match and not is_alive(int(match[1])):
                path.unlink(missing_ok=True)
