"""What became of a scan, stage by stage: which outputs are there, and what its logs say if some are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from synthseg_core.bids.names import SIDECARS, derivative, results_of
from synthseg_core.bids.own_folders import log_folder
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.errors import Failure, last_lines
from synthseg_core.reports.origins import SidecarFacts, read_sidecar

STATUSES = ("done", "kept", "running", "failed", "outdated", "missing", "skipped")
# In this order they decide what a scan as a whole is.
_DECISIVE = ("failed", "running", "outdated", "missing")
GONE = "made from a segmentation that is no longer there"
_OF_OUTDATED = "made from a segmentation that is out of date"
# Stages whose outputs are made by the job of another one; its logs are theirs.
_JOBS = {"posteriors": "segment"}
# Stages that need no segmentation.
_FROM_SCANS = ("translate", "resample")


@dataclass(frozen=True)
class Present:
    """What is known of scans beside their results.

    Parameters
    ----------
    outdated
        Stem and stage -> how the results of the stage differ from what is asked for, or from the scan as it is now.
    begun
        Paths of the results that jobs are making just now.
    """

    outdated: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    begun: frozenset[str] = frozenset()


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


def examine(row: ScanRow, dataset: Path, stages: Sequence[str], present: Present | None = None) -> list[StageStatus]:
    """Look at the outputs and logs of every stage of a scan, and at whether they belong together.

    Parameters
    ----------
    row
        Of the scan table.
    dataset
        Derivative dataset.
    stages
        That are looked at.
    present
        What else is known.
    """
    present = present or Present()
    found = [_examine_stage(row, dataset, stage, present) for stage in stages]
    segmented = read_sidecar(dataset / derivative(row.scan, "sidecar"))
    return [_compared(one, row, dataset, segmented, present) for one in found]


def overall(row: ScanRow, found: Sequence[StageStatus], facts: SidecarFacts) -> ScanStatus:
    """Sum up a scan: the first stage that failed decides, else the first that runs, is out of date, is missing."""
    stages = {one.stage: one.status for one in found}
    if row.problem and (stages.get("segment") == "done" or facts.generated_by.version):
        reason = f"{row.problem}; the results of an earlier run stay"
        return ScanStatus(row, "kept", reason, _log_of(found), stages=stages, facts=facts)
    if row.problem:
        return ScanStatus(row, "failed" if row.scan and not row.not_downloaded else "skipped", row.problem)
    for status in _DECISIVE:
        for one in found:
            if one.status == status:
                return ScanStatus(row, status, one.reason, one.log, one.recorded, one.stage, stages, facts)
    return ScanStatus(row, "done", log=_log_of(found), stages=stages, facts=facts)


def _log_of(found: Sequence[StageStatus]) -> str:
    """Return the log of the segmentation."""
    return next((one.log for one in found if one.stage == "segment"), "")


def _examine_stage(row: ScanRow, dataset: Path, stage: str, present: Present) -> StageStatus:
    job = _JOBS.get(stage, stage)
    logs = log_folder(dataset).name
    log = f"{logs}/{job}/{row.scan}.log"
    log = log if (dataset / log).is_file() else ""
    results = [dataset / derivative(row.scan, product) for product in results_of(stage)]
    if present.begun and not present.begun.isdisjoint(map(str, results)):
        return StageStatus(stage, "running", "being computed just now", log)
    missing = [path for path in results if not path.is_file()]
    if not missing:
        return StageStatus(stage, "done", log=log)
    if links := [path for path in missing if path.is_symlink()]:
        reason = f"{links[0].relative_to(dataset)} is a link to a file that is not there; download it, or run again"
        return StageStatus(stage, "missing", reason, log)
    failure = Failure.in_log(dataset / logs / job / f"{row.scan}.json")
    if failure is not None:
        return StageStatus(stage, "failed", f"{failure.error}: {failure.reason}", log, recorded=failure.known)
    return StageStatus(stage, "missing", _guess(dataset / log) if log else "not run yet", log)


def _compared(one: StageStatus, row: ScanRow, dataset: Path, segmented: SidecarFacts, present: Present) -> StageStatus:
    """Find results that are there and out of date: of another scan, other options, or another segmentation."""
    if one.status != "done":
        return one
    reason = present.outdated.get((row.scan, one.stage), "")
    if not reason and one.stage != "segment":
        own = read_sidecar(dataset / derivative(row.scan, SIDECARS[one.stage]), one.stage)
        reason = own.basis.difference(segmented.basis)
        if not reason and one.stage not in _FROM_SCANS:
            segmentation = dataset / derivative(row.scan, "sidecar")
            is_gone = not (segmentation.exists() or segmentation.is_symlink())
            reason = _OF_OUTDATED if (row.scan, "segment") in present.outdated else GONE if is_gone else ""
    return replace(one, status="outdated", reason=reason) if reason else one


def _guess(log: Path) -> str:
    """Say what can be said of a job that left no record: it was killed, interrupted, or met an unknown error."""
    last = next((" ".join(line.split()) for line in reversed(last_lines(log)) if line.strip()), "")
    return f"ended without giving a reason; {f'its log ends with: {last}' if last else 'perhaps killed'}"
