"""What a work folder knows of its SLURM jobs: the name that all of them begin with, and whether some may go on.

Jobs outlive the process that submitted them. Their names lead back to the folder, also where that process was killed
before it could note their numbers.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.app.layout import Layout
from synthseg_core.app.slurm.commands import live_jobs, wait_until_gone
from synthseg_core.errors import UsageError
from synthseg_core.system.atomic import write_json
from synthseg_core.system.settings import read_mapping


@dataclass(frozen=True)
class SlurmRecord:
    """The record of one work folder.

    Parameters
    ----------
    path
        Where it is kept.
    name
        What the names of all jobs begin with, in every run.
    active
        Whether jobs may wait or run.
    jobs
        Numbers of those that were submitted last, for the user.
    """

    path: Path
    name: str
    active: bool = False
    jobs: tuple[str, ...] = ()

    @classmethod
    def of(cls, layout: Layout) -> SlurmRecord:
        """Read the record of a work folder; without one, think of a name."""
        path = layout.work / "slurm.json"
        if not path.is_file():
            return cls(path, f"synthseg-{secrets.token_hex(4)}")
        known = read_mapping(path, "record of SLURM jobs")
        return cls(path, known["name"], known["active"], tuple(known["jobs"]))

    def begin(self, jobs: Sequence[str] = ()) -> None:
        """Note that jobs are about to be submitted, or which were."""
        write_json(self.path, {"name": self.name, "active": True, "jobs": list(jobs)})

    def settle(self) -> None:
        """Note that all jobs have ended, if that is so."""
        if not live_jobs(self.name):
            write_json(self.path, {"name": self.name, "active": False, "jobs": []})


def queue_text(layout: Layout) -> str:
    """Say which jobs of a work folder are in SLURM's queue; empty if there are none."""
    record = SlurmRecord.of(layout)
    if not record.active:
        return ""
    try:
        numbers = live_jobs(record.name)
    except UsageError as error:
        return f"Jobs may be in SLURM's queue ({error})."
    return f"SLURM jobs that wait or run: {len(numbers)} ({_some(numbers)})." if numbers else ""


def require_no_jobs(layout: Layout, *, wait: bool, force: bool = False) -> None:
    """Make sure that no job of a former run writes to the folders of this one.

    Parameters
    ----------
    layout
        Folders of this run.
    wait
        Wait for such jobs; otherwise refuse to run.
    force
        Trust the caller where SLURM cannot be asked.

    Raises
    ------
    UsageError
        If there are such jobs and they are not waited for, or SLURM cannot be asked.
    """
    record = SlurmRecord.of(layout)
    if not record.active:
        return
    try:
        numbers = live_jobs(record.name)
    except UsageError:
        if force:
            return
        raise
    if numbers and not wait:
        raise UsageError(
            layout.work,
            found=f"{len(numbers)} SLURM jobs of a former run ({_some(numbers)})",
            expected="none",
            remedy="wait for them, or end them with scancel",
        )
    if numbers:
        print(f"Waiting for jobs of a former run ({_some(numbers)}); an interrupt leaves them alone.", flush=True)
        wait_until_gone(record.name, lambda number: print(f"{number} of them left", flush=True))
    record.settle()


def _some(numbers: Sequence[str]) -> str:
    return ", ".join(numbers[:5]) + (", ..." if len(numbers) > 5 else "")
