"""What became of a scan, stage by stage: which outputs are there, and what its logs say if some are not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from synthseg_core.bids.names import derivative, results_of
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.errors import Failure
from synthseg_core.reports.origins import SidecarFacts

STATUSES = ("done", "failed", "missing", "skipped")
# Stages whose outputs are made by the job of another one; its logs are theirs.
_JOBS = {"posteriors": "segment"}
# A log of a job can be long where libraries talk; its last line is near its end.
_TAIL_BYTES = 65536


@dataclass(frozen=True)
class StageStatus:
    """What became of one stage of a scan; see :class:`ScanStatus`."""

    stage: str
    status: str
    reason: str = ""
    log: str = ""
    recorded: bool = False


@dataclass(frozen=True)
class ScanStatus:
    """What became of a scan.

    Parameters
    ----------
    row
        Of the scan table.
    status
        One of ``STATUSES``; ``done`` only if every stage is.
    reason
        Why it is not done; empty if it is.
    log
        Readable log, relative to the dataset; empty if there is none.
    recorded
        Whether the reason was left by the job itself, as a known error.
    stage
        Stage that the reason is about; empty where there is none.
    stages
        Status of each stage that was asked for; empty for images that are not taken for scans.
    facts
        What made the segmentation, and warnings about it and its parcels.
    """

    row: ScanRow
    status: str
    reason: str = ""
    log: str = ""
    recorded: bool = False
    stage: str = ""
    stages: Mapping[str, str] = field(default_factory=dict[str, str])
    facts: SidecarFacts = field(default_factory=SidecarFacts)


def examine(row: ScanRow, dataset: Path, stages: Sequence[str]) -> list[StageStatus]:
    """Look at the outputs and logs of every stage of a usable scan."""
    return [_examine_stage(row, dataset, stage) for stage in stages]


def overall(row: ScanRow, found: Sequence[StageStatus], facts: SidecarFacts) -> ScanStatus:
    """Sum up a scan: the first stage that failed decides, else the first that is missing."""
    if row.problem:
        return ScanStatus(row, "failed" if row.scan and not row.not_downloaded else "skipped", row.problem)
    stages = {one.stage: one.status for one in found}
    for status in ("failed", "missing"):
        for one in found:
            if one.status == status:
                return ScanStatus(row, status, one.reason, one.log, one.recorded, one.stage, stages, facts)
    return ScanStatus(row, "done", log=found[0].log if found else "", stages=stages, facts=facts)


def _examine_stage(row: ScanRow, dataset: Path, stage: str) -> StageStatus:
    job = _JOBS.get(stage, stage)
    log = f"logs/{job}/{row.scan}.log"
    log = log if (dataset / log).is_file() else ""
    if all((dataset / derivative(row.scan, product)).is_file() for product in results_of(stage)):
        return StageStatus(stage, "done", log=log)
    failure = _last_failure(dataset / "logs" / job / f"{row.scan}.json")
    if failure is not None:
        return StageStatus(stage, "failed", f"{failure.error}: {failure.reason}", log, recorded=failure.known)
    return StageStatus(stage, "missing", _guess(dataset / log) if log else "not run yet", log)


def _last_failure(path: Path) -> Failure | None:
    """Return the failure that a job left in its log for machines, as the last JSON line; ``None`` if it left none."""
    for line in reversed(_lines(path)):
        try:
            record: Any = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict):
            return Failure.from_record(cast(dict[str, Any], record)) if record else None
    return None


def _guess(log: Path) -> str:
    """Say what can be said of a job that left no record: it was killed, interrupted, or met an unknown error."""
    last = next((" ".join(line.split()) for line in reversed(_lines(log)) if line.strip()), "")
    return f"ended without giving a reason; {f'its log ends with: {last}' if last else 'perhaps killed'}"


def _lines(path: Path) -> list[str]:
    """Return the last lines of a file; none if it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace").split("\n")
    except OSError:
        return []
