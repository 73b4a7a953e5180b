"""What a dry run says: which scans would be worked on, at which stages, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from synthseg_core.app.events import REPORT, Job
from synthseg_core.app.jobs import FOLLOWS
from synthseg_core.app.plan import Plan
from synthseg_core.bids.names import STAGES
from synthseg_core.system.words import counted

_UNKNOWN = "what it is made from is newer"
_NEW_PAGE = "no page, a picture lacks, or older than what it shows"


def to_do(plan: Plan, jobs: Iterable[Job], reasons: Iterable[tuple[str, str, str]]) -> list[str]:
    """Return a line for each scan that would be worked on.

    Parameters
    ----------
    plan
        What was asked for.
    jobs
        Those that Snakemake would run.
    reasons
        Why, by stem and stage: see :class:`~synthseg_core.app.preflight.Preflight`.
    """
    known = {(stem, stage): why for stem, stage, why in reasons}
    by_scan: dict[str, list[str]] = {}
    for job in jobs:
        by_scan.setdefault(job.scan, []).append(job.rule)
    unseen = plan.with_broken_links()  # by Snakemake, until a run has removed them
    for stem, stage in known:
        if stem in unseen:
            by_scan.setdefault(stem, []).append(stage)
    about_all = by_scan.pop("", [])
    if not by_scan and not about_all:
        return ["Nothing to do: every result is there and up to date."]
    lines = [
        f"  {plan.row_of(stem).path}: {_text({stage: _why(known, stem, stage, stages) for stage in stages})}"
        for stem, stages in by_scan.items()
    ]
    others = ["  files of the dataset"] if about_all else []
    return [f"To do: {len(lines)} of {counted(len(plan.usable), 'scan')}", *sorted(lines), *others]


def _why(known: Mapping[tuple[str, str], str], stem: str, stage: str, stages: Sequence[str]) -> str:
    if stage == REPORT:
        return _NEW_PAGE if {*stages} == {REPORT} else FOLLOWS
    return known.get((stem, stage), _UNKNOWN)


def _text(reasons: dict[str, str]) -> str:
    """Return the reasons of a scan, each with its stages; what only follows an earlier stage stands with that."""
    stages: dict[str, list[str]] = {}
    reason = ""
    for stage in sorted(reasons, key=(*STAGES, REPORT).index):
        reason = reason if reason and reasons[stage] == FOLLOWS else reasons[stage]
        stages.setdefault(reason, []).append(stage)
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in stages.items())
