"""What Snakemake tells the front door while it runs: events of its jobs, a line of JSON each, in a file.

They are taken from the records of Snakemake's own logger, not from the text that it prints: see
``docs/decisions/020-run-events.md``. The file is no pipe, so Snakemake neither waits for a reader nor ends with one.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthseg_core.app.wildcards import stem_of
from synthseg_core.bids.names import STAGES

VARIABLE = "SYNTHSEG_EVENTS"
"""Environment variable that holds the path of the file."""
REPORT = "scan_report"
"""Rule that makes the page about a scan."""
PLAN, BEGUN, DONE, FAILED, AGAIN, ERROR = "plan", "begun", "done", "failed", "again", "error"
# Event of a record -> ours, and the attribute with the number of the job.
_OF_JOBS = {"job_info": (BEGUN, "jobid"), "job_finished": (DONE, "job_id"), "job_error": (FAILED, "jobid")}
_AGAIN = re.compile(r"Trying to restart job (\d+)")


@dataclass(frozen=True)
class Job:
    """A job that is to run.

    Parameters
    ----------
    number
        Snakemake's.
    rule
        Name of the rule.
    scan
        Stem of the scan; empty for jobs about the dataset as a whole.
    """

    number: int
    rule: str
    scan: str


def report_events(workflow: Any) -> None:
    """Let Snakemake write its events, if whoever started it wants them.

    Parameters
    ----------
    workflow
        Snakemake's own object.
    """
    path = os.environ.pop(VARIABLE, "")
    if path and workflow.is_main_process:
        from snakemake.logging import logger

        logger.addHandler(EventWriter(workflow, Path(path)))


class EventWriter(logging.Handler):
    """Turns records of Snakemake's logger into events.

    Parameters
    ----------
    workflow
        Snakemake's own object.
    path
        File to write to.
    """

    def __init__(self, workflow: Any, path: Path) -> None:
        super().__init__(logging.INFO)
        self._workflow = workflow
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._planned = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the event of a record, if it is one."""
        try:
            event = self._event(record)
            if event:
                self._file.write(json.dumps(event) + "\n")
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _event(self, record: logging.LogRecord) -> dict[str, Any]:
        kind, text = str(getattr(record, "event", None)), record.getMessage() if record.msg else ""
        if kind == "run_info" and not self._planned:  # the plan is made; it is said again at the end of a dry run
            self._planned = True
            return {"event": PLAN, "jobs": [tuple(vars(job).values()) for job in _jobs_of(self._workflow)]}
        if kind in _OF_JOBS and not self._workflow.dryrun:
            word, name = _OF_JOBS[kind]
            return {"event": word, "job": getattr(record, name)}
        if again := _AGAIN.match(text):
            return {"event": AGAIN, "job": int(again[1])}
        return {"event": ERROR, "text": text} if kind == "error" else {}


def _jobs_of(workflow: Any) -> Iterator[Job]:
    """Return the jobs that are to run; without the rule that only collects, which makes nothing."""
    for job in workflow.dag.needrun_jobs():
        if job.output:
            scan = stem_of(job.wildcards) if job.rule.name in (*STAGES, REPORT) else ""
            yield Job(job.jobid, job.rule.name, scan)


class Follower:
    """Reads what is added to a file by another process, in whole lines.

    Parameters
    ----------
    path
        The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._rest = b""

    def lines(self) -> list[str]:
        """Return the lines that have come since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            return []
        self._read += len(new)
        *whole, self._rest = (self._rest + new).split(b"\n")
        return [line.decode("utf-8", errors="replace") for line in whole]
