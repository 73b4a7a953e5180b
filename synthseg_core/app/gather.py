"""What runs have left: for ``synthseg-bids status``, and for the group level when it is called by itself.

Files are only read, so the status may be asked for during a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from synthseg_core.app.jobs import Jobs
from synthseg_core.app.layout import Layout
from synthseg_core.app.lock import current_owner
from synthseg_core.app.parts import owners_of_parts
from synthseg_core.app.plan import Plan, stages_of
from synthseg_core.app.requests import changed_scan
from synthseg_core.app.slurm.record import queue_text
from synthseg_core.app.snakemake import begun_files
from synthseg_core.bids.names import STAGES, products_of
from synthseg_core.bids.own_folders import work_folder
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.scan_table import read_table
from synthseg_core.errors import UsageError
from synthseg_core.reports import GroupTables, Present, gather

# Stages whose results group tables hold, beside those of the segmentation; and those that are only looked at.
_GATHERED = ("parcellate", "qc")
_LOOKED_AT = ("posteriors", "resample", "merge_head")


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
    rows = read_table(layout.scan_table)
    return gather(rows, layout.output, _stages(layout), present=present_of(layout, rows))


def present_of(layout: Layout, rows: Iterable[ScanRow]) -> Present:
    """Return what can be told of scans beside their results: which have changed, and what is being made just now."""
    changes = {
        (row.scan, "segment"): changed_scan(
            row.source, layout.request("segment", row.scan), layout.derivative(row.scan, "sidecar")
        )
        for row in rows
        if row.usable
    }
    is_running = current_owner(layout.lock) or owners_of_parts(layout) or queue_text(layout)
    begun = begun_files(layout.work) if is_running else frozenset[str]()
    return Present({key: change for key, change in changes.items() if change}, begun)


def results_so_far(plan: Plan) -> GroupTables:
    """Gather what there is of the scans of the last run, and of others that have results."""
    rows = rows_to_gather(plan)
    stages = stages_to_gather(plan, rows)
    asked = [stage for stage in stages if stage in plan.stages or stage in _GATHERED]
    return gather(rows, plan.layout.output, stages, asked=asked, present=present_of(plan.layout, rows))


def results_of_run(plan: Plan) -> GroupTables:
    """Gather what there is after a run; stages that it was not asked for count in tables, not for what is done."""
    jobs = Jobs(plan.layout, plan.segment, plan.stages, plan.head)
    verdicts = {(row.scan, stage): verdict for row in plan.usable for stage, verdict in jobs.verdicts(row).items()}
    outdated = {key: verdict.outdated for key, verdict in verdicts.items() if verdict.outdated}
    stages = stages_to_gather(plan, plan.selected)
    return gather(plan.selected, plan.layout.output, stages, asked=plan.stages, present=Present(outdated))


def running_text(layout: Layout) -> str:
    """Say who works in the folder now, and on its behalf in SLURM."""
    owner = current_owner(layout.lock)
    owners = [owner] if owner else owners_of_parts(layout)
    text = "No run is going on."
    if owners:
        runs = "A run is" if len(owners) == 1 else f"{len(owners)} runs are"
        text = f"{runs} going on: {'; '.join(owners)}."
    return f"{text} {queue_text(layout)}".rstrip()


def layout_from(output: Path, work: Path | None) -> Layout:
    """Return the folders of a run."""
    return Layout(output.absolute(), (work or work_folder(output)).absolute())


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
    made = [stage for stage in (*_GATHERED, *_LOOKED_AT) if any(_is_made(plan.layout, stage, row) for row in rows)]
    return tuple(stage for stage in STAGES if stage in plan.stages or stage in made)


def _stages(layout: Layout) -> tuple[str, ...]:
    if not layout.run_config.is_file():
        return ("segment",)
    return stages_of(yaml.safe_load(layout.run_config.read_text(encoding="utf-8")))


def _has_traces(layout: Layout, row: ScanRow) -> bool:
    return bool(row.scan) and (_is_made(layout, "segment", row) or layout.log("segment", row.scan).is_file())


def _is_made(layout: Layout, stage: str, row: ScanRow) -> bool:
    return bool(row.scan) and layout.derivative(row.scan, products_of(stage)[0]).is_file()
