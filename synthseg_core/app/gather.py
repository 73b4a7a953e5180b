"""``synthseg-bids status``: what is done, failed and missing. Reads files only, so it may be asked during a run."""

from __future__ import annotations

from pathlib import Path

import yaml

from synthseg_core.app.layout import Layout
from synthseg_core.app.lock import current_owner
from synthseg_core.app.plan import stages_of
from synthseg_core.app.slurm.record import queue_text
from synthseg_core.bids.scan_table import read_table
from synthseg_core.errors import UsageError
from synthseg_core.reports import GroupTables, gather


def look_at(layout: Layout) -> GroupTables:
    """Gather the state of every scan of the last run, without writing anything.

    Raises
    ------
    UsageError
        If nothing was ever run in the work folder.
    """
    if not layout.scan_table.is_file():
        raise UsageError(
            layout.work,
            found="no scan table",
            expected="the work folder of a run",
            remedy="give the output folder of a run, and --work-dir if that run had one",
        )
    return gather(read_table(layout.scan_table), layout.output, _stages(layout))


def running_text(layout: Layout) -> str:
    """Say who works in the folder now, and on its behalf in SLURM."""
    owner = current_owner(layout.lock)
    text = f"A run is going on: {owner}." if owner else "No run is going on."
    return f"{text} {queue_text(layout)}".rstrip()


def layout_from(output: Path, work: Path | None) -> Layout:
    """Return the folders of a run."""
    return Layout(output.absolute(), (work or output / "work").absolute())


def _stages(layout: Layout) -> tuple[str, ...]:
    if not layout.run_config.is_file():
        return ("segment",)
    return stages_of(yaml.safe_load(layout.run_config.read_text(encoding="utf-8")))
