"""What a run finds before its first job: what is done, what is left out, what will fail, whether there is a device.

Where the BIDS validator is installed, its advice is shown for a new dataset; scans are judged one by one. The device of
this machine is asked for before results of earlier runs are replaced.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthseg_core.app.jobs import FOLLOWS
from synthseg_core.app.no_scans import hinted, known_labels
from synthseg_core.app.plan import Plan
from synthseg_core.app.requests import NOT_MADE
from synthseg_core.app.snakemake import begun_files, child_environment
from synthseg_core.bids.discovery import looks_like_bids
from synthseg_core.bids.names import STAGES
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.errors import Failure, InputError, UsageError
from synthseg_core.images.formats import check_file
from synthseg_core.system.words import counted

_LISTED = 10
_LABELS = ("participant or session", "participants or sessions")
_VALIDATOR = "bids-validator-deno"
# Every machine has these.
_EVERYWHERE = ("auto", "cpu")
# In a process of its own: torch takes seconds and memory that this one does not need otherwise.
_QUESTION = """\
import json, sys
from synthseg_core.networks.devices import choose_device
from synthseg_core.errors import Failure, SynthSegError
try:
    choose_device(sys.argv[1])
except SynthSegError as error:
    print(json.dumps(Failure.of(error).record()))
"""


@dataclass(frozen=True)
class Preflight:
    """Findings.

    Parameters
    ----------
    scans
        Scans that can be given to the workflow.
    done
        For every stage, how many of them have all its outputs, made from this scan with these options.
    to_do
        Every job that will run: stem of its scan, stage that it is called after, and why.
    outdated
        Results that will be made again, each with the reason.
    unusable
        Scans that are known to fail, such as links to nowhere, each with the reason.
    skipped
        Images and folders that may hold scans and are not taken, each with the reason.
    not_downloaded
        Scans of the dataset that are not here.
    unreadable
        Scans whose first bytes are no image, each with the reason; they are tried and will fail.
    absent
        Participants and sessions that were asked for and are not there, with those that were perhaps meant.
    remarks
        How the input was read, and what was left out of the search, in whole lines.
    advice
        What the BIDS validator says.
    """

    scans: int
    done: dict[str, int]
    to_do: tuple[tuple[str, str, str], ...] = ()
    outdated: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    not_downloaded: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether no scan is segmented yet: the time to say what is wrong with a dataset as a whole."""
        return sum((stage, reason) == ("segment", NOT_MADE) for _, stage, reason in self.to_do) == self.scans

    def lines(self, *, listed: bool = True) -> list[str]:
        """Return the table that is shown to the user; ``listed``: with results that will be made again."""
        table = [f"{'stage':<12}{'done':>8}{'to do':>8}"]
        table += [f"{stage:<12}{count:>8}{self.scans - count:>8}" for stage, count in self.done.items()]
        notes = [
            (f"{counted(len(self.outdated), 'result')} to be made again", self.outdated if listed else ()),
            (f"{counted(len(self.unusable), 'scan')} that cannot be used and will fail", self.unusable),
            (f"{counted(len(self.skipped), 'image or folder', 'images or folders')} skipped", self.skipped),
            (f"{counted(len(self.not_downloaded), 'scan')} not downloaded, skipped", self.not_downloaded),
            (f"{counted(len(self.unreadable), 'scan')} that cannot be read and will fail", self.unreadable),
            (f"{counted(len(self.absent), *_LABELS)} not there", self.absent),
        ]
        lists = [line for title, items in notes if items for line in (f"{title}:", *first_of(items))]
        return [counted(self.scans, "scan"), *table, *self.remarks, *lists, *self.advice]


def findings(plan: Plan, *, validate: bool, everything: bool = False) -> Preflight:
    """Find out what is said before the first job.

    Parameters
    ----------
    plan
        What would be made.
    validate
        Whether the BIDS validator is asked about a dataset of which no scan is segmented yet.
    everything
        Whether all jobs will run, whatever is there.

    Raises
    ------
    SynthSegError
        If all jobs would fail: there is no scan, or a model cannot be used.
    """
    plan.targets()
    plan.require_models()
    found = examine(plan, everything=everything)
    advice = validation_report(plan.dataset) if validate and found.is_new and looks_like_bids(plan.dataset) else []
    return replace(found, advice=tuple(advice))


def examine(plan: Plan, *, everything: bool = False) -> Preflight:
    """Look at the scan table, at what exists and at the first bytes of scans that will be segmented."""
    begun = begun_files(plan.layout.work)
    reasons = {row: _reasons(plan, row, begun, everything) for row in plan.usable}
    to_do = [(row.scan, stage, why) for row, jobs in reasons.items() for stage, why in jobs.items() if why]
    waiting = {job: sum(stage == job for _, stage, _ in to_do) for job in plan.jobs.stages}
    unreadable = (_fault(row) for row, jobs in reasons.items() if jobs["segment"])
    made_by = {stage: stage if stage in plan.jobs.stages else "segment" for stage in plan.stages}
    labels = known_labels(plan.rows, plan.tally)
    return Preflight(
        scans=len(plan.usable),
        done={stage: len(plan.usable) - waiting[made_by[stage]] for stage in STAGES if stage in plan.stages},
        to_do=tuple(to_do),
        outdated=tuple(f"{stage} of {stem}: {why}" for stem, stage, why in to_do if why not in (NOT_MADE, FOLLOWS)),
        unusable=_told(row for row in plan.selected if row.problem and row.scan and not row.not_downloaded),
        skipped=_told(row for row in plan.selected if row.problem and not (row.scan or row.not_downloaded)),
        not_downloaded=tuple(row.path for row in plan.selected if row.not_downloaded),
        unreadable=tuple(fault for fault in unreadable if fault),
        absent=tuple(hinted(label, labels) for label in plan.absent),
        remarks=tuple(plan.tally.lines([f"sub-{label}" for label in plan.selection.participants])),
    )


def _told(rows: Iterable[ScanRow]) -> tuple[str, ...]:
    return tuple(f"{row.path}: {row.problem}" for row in rows)


def _reasons(plan: Plan, row: ScanRow, begun: frozenset[str], everything: bool) -> dict[str, str]:
    """Return why each job of a scan will run; what a killed run has begun is made again too."""
    reasons = plan.jobs.reasons(row)
    for stage, reason in reasons.items():
        if not reason and everything:
            reasons[stage] = "--rerun"
        elif not reason and begun and not begun.isdisjoint(map(str, plan.jobs.job(stage, row).outputs)):
            reasons[stage] = "a killed run had begun to make it"
    return reasons


def first_of(items: Iterable[str]) -> list[str]:
    """Return the first items as indented lines, and how many more there are."""
    known = list(items)
    more = [f"  and {len(known) - _LISTED} more"] if len(known) > _LISTED else []
    return [*(f"  {item}" for item in known[:_LISTED]), *more]


def _fault(row: ScanRow) -> str:
    try:
        check_file(Path(row.source))
    except InputError as error:
        return f"{row.path}: found {error.found}; {error.remedy}"
    return ""


def require_device(name: str) -> None:
    """Raise ``UsageError`` if this machine has no such device, or nobody could find out."""
    if name in _EVERYWHERE:
        return
    words = [sys.executable, "-c", _QUESTION, name]
    done = subprocess.run(words, env=child_environment(), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UsageError(
            "--device",
            found=f"a failure of status {done.returncode} when asking for {name}",
            expected="torch to answer",
            remedy="see above, or use --device cpu",
        )
    if done.stdout:
        failure = Failure.from_record(json.loads(done.stdout))
        raise UsageError("--device", found=failure.found, expected=failure.expected, remedy=failure.remedy)


def validation_report(dataset: Path) -> list[str]:
    """Return the errors that the validator finds, by kind; nothing where it is not installed or finds none."""
    command = _validator()
    if command is None:
        return []
    done = subprocess.run(
        [command, str(dataset), "--format", "json", "--ignoreNiftiHeaders"],
        check=False, capture_output=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        report: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
        issues = report["issues"]["issues"]
    except (ValueError, KeyError, TypeError):
        return [f"The BIDS validator gave no answer (status {done.returncode})."]
    errors = Counter(issue["code"] for issue in issues if issue["severity"] == "error")
    lines = first_of(f"{code} ({count})" for code, count in sorted(errors.items()))
    return ["The BIDS validator finds errors, which need not matter here:", *lines] if errors else []


def _validator() -> str | None:
    """Return the validator of this environment, or one in the search path."""
    beside = Path(sys.executable).with_name(_VALIDATOR)
    return str(beside) if beside.is_file() else shutil.which(_VALIDATOR)
