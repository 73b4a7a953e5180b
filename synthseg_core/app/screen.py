"""What a person sees of a run: one status line on a terminal, a line for each scan in a log, and every failure at once.

Scans are counted, not jobs. What Snakemake says goes to a file.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from synthseg_core.app.events import AGAIN, BEGUN, DONE, ERROR, FAILED, PLAN, REPORT, Follower, Job
from synthseg_core.app.layout import Layout
from synthseg_core.app.snakemake import ChildEnd
from synthseg_core.bids.names import STAGES, report_name
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.errors import last_lines
from synthseg_core.reports.origins import read_sidecar
from synthseg_core.reports.statuses import examine
from synthseg_core.system.progress import StatusLine, duration_text
from synthseg_core.system.words import counted

_SIDECARS = {"segment": "sidecar", "parcellate": "parcels_sidecar", "merge_head": "head_sidecar"}
# A failure is said when Snakemake had the time to say that it tries again.
_GRACE_S = 1.0
_REDRAWN_S = 0.5
_FEW = _NAMED = 3
# Errors that come with every failed job.
_KNOWN = re.compile(r"At least one job did not complete successfully|CalledProcessError")


class RunScreen:
    """Follows the events of a run and shows what became of its scans.

    Parameters
    ----------
    rows
        Scans of the run, by stem.
    layout
        Folders of the run.
    events
        File with events; see :mod:`synthseg_core.app.events`.
    log
        What Snakemake says, if that is to be shown too.
    stream
        ``None``: standard error.
    clock
        Seconds, monotonic; given by tests.
    """

    def __init__(
        self,
        rows: Mapping[str, ScanRow],
        layout: Layout,
        events: Path,
        *,
        log: Path | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.errors: list[str] = []
        self.failed: set[str] = set()
        self._rows, self._layout, self._clock = rows, layout, clock
        self._events = Follower(events)
        self._log = Follower(log) if log else None
        self._line = StatusLine(stream, interval_s=_REDRAWN_S)
        self._begin = clock()
        self._jobs: dict[int, Job] = {}
        self._left: Counter[str] = Counter()
        self._finished: set[str] = set()
        self._running: dict[int, Job] = {}
        self._failing: dict[int, float] = {}
        self._warned: dict[str, str] = {}

    def look(self) -> None:
        """Show what has happened since the last look."""
        if self._log:
            self.say(*self._log.lines())
        for text in self._events.lines():
            event = json.loads(text)
            self._take(event["event"], event)
        self._give_up(self._clock() - _GRACE_S)
        with suppress(OSError):  # nobody reads any more; the run goes on
            self._line.draw(self._text())

    def say(self, *lines: str) -> None:
        """Write whole lines, above the status line of a terminal."""
        with suppress(OSError):
            self._line.say(*lines)

    @property
    def jobs(self) -> Collection[Job]:
        """Jobs that are to run, once they are planned."""
        return self._jobs.values()

    def close(self) -> None:
        """Show the rest, and take the status line away."""
        self.look()
        self._give_up(self._clock())
        with suppress(OSError):
            self._line.close()

    def _take(self, kind: str, event: Mapping[str, Any]) -> None:
        if kind == PLAN:
            self._jobs = {job.number: job for job in (Job(*values) for values in event["jobs"])}
            self._left = Counter(job.scan for job in self._jobs.values() if job.scan)
            self._begin = self._clock()
        elif kind == ERROR:
            self.errors.append(event["text"])
        elif event["job"] in self._jobs:
            self._take_job(kind, self._jobs[event["job"]])

    def _take_job(self, kind: str, job: Job) -> None:
        if kind == BEGUN:
            self._running[job.number] = job
            return
        self._running.pop(job.number, None)
        if kind == FAILED:
            self._failing[job.number] = self._clock()
        elif kind == AGAIN:
            self._failing.pop(job.number, None)
        elif kind == DONE and job.scan:
            self._note_warnings(job)
            self._left[job.scan] -= 1
            if not self._left[job.scan] and job.scan not in self.failed:
                self._finish(job.scan)

    def _finish(self, stem: str) -> None:
        self._finished.add(stem)
        if not self._line.live:
            doubt = f": doubtful: {self._warned[stem]}" if stem in self._warned else ""
            self.say(f"{self._count()} {self._path(stem)}{doubt}")

    def _give_up(self, before: float) -> None:
        """Say which jobs have failed for good."""
        for number in [number for number, since in self._failing.items() if since <= before]:
            del self._failing[number]
            job = self._jobs[number]
            if job.scan not in self.failed:
                self.failed.add(job.scan)
                self.say(f"{self._count()} FAILED {self._path(job.scan)}: {self._reason(job)}")

    def _reason(self, job: Job) -> str:
        if job.rule == REPORT:
            log = self._layout.logs / "report" / f"{report_name(job.scan)}.log"
            said = next((line for line in reversed(last_lines(log)) if line.strip()), f"see {log}")
            return f"its page could not be made: {said}"
        row = self._rows.get(job.scan)
        known = examine(row, self._layout.output, [job.rule])[0].reason if row and job.rule in STAGES else ""
        return known or f"the step {job.rule} failed; see {self._layout.logs}"

    def _note_warnings(self, job: Job) -> None:
        name = _SIDECARS.get(job.rule)
        if name is None:
            return
        warnings = list(read_sidecar(self._layout.derivative(job.scan, name)).warnings)
        if warnings and job.scan not in self._warned:
            self._warned[job.scan] = shortened(warnings)

    def _path(self, stem: str) -> str:
        return self._rows[stem].path if stem in self._rows else stem or "files of the dataset"

    def _count(self) -> str:
        return f"[{len(self._finished) + len(self.failed)}/{len(self._left)}]"

    def _text(self) -> str:
        """Return the status line: how far it is, how long it takes, what runs, and the last doubt."""
        if not self._jobs:
            return "planning"
        last = next(reversed(self._warned), "")
        parts = [
            f"{len(self._finished)} of {counted(len(self._left), 'scan')} done",
            f"{len(self.failed)} failed" if self.failed else "",
            f"{len(self._warned)} doubtful" if self._warned else "",
            self._time_left(),
            self._now(),
            f"last warning: {Path(self._path(last)).name}: {self._warned[last]}" if last else "",
        ]
        return "; ".join(part for part in parts if part)

    def _now(self) -> str:
        """Name what runs, or waits in the queue of a cluster."""
        names = list(dict.fromkeys(Path(self._path(job.scan)).name for job in self._running.values()))
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"now {', '.join(names[:_NAMED])}{more}" if names else ""

    def _time_left(self) -> str:
        done = len(self._finished) + len(self.failed)
        left = len(self._left) - done
        if not done or not left:
            return ""
        return f"about {duration_text((self._clock() - self._begin) / done * left)} left"


def shortened(warnings: Sequence[str]) -> str:
    """Return the first of some warnings, and how many more there are."""
    first, *others = warnings
    return f"{first} (and {len(others)} more)" if others else first


def explain(end: ChildEnd, screen: RunScreen, log: Path) -> list[str]:
    """Return why Snakemake did not end well, where that is not about single scans.

    Parameters
    ----------
    end
        How it ended.
    screen
        What was seen of the run.
    log
        What it said.
    """
    if end.interrupted or not end.status:
        return []
    if end.status < 0:
        killed = f"Snakemake was killed ({signal.Signals(-end.status).name}), perhaps for want of memory"
        return [f"synthseg-bids: error: {killed}; run the same command again to continue; its log is {log}"]
    errors = [line for line in dict.fromkeys(map(_one_line, screen.errors)) if not _KNOWN.search(line)]
    if errors:
        return [f"synthseg-bids: error: Snakemake: {line}; its log is {log}" for line in errors[:_FEW]]
    if screen.failed:
        return []
    return [f"synthseg-bids: error: Snakemake ended with status {end.status}{_last_word(log)}; its log is {log}"]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _last_word(log: Path) -> str:
    """Return the last line of a log after a colon; nothing if it is not there."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")
