"""Run many scans, one after the other, so that a broken scan never costs another.

Reading the next scan and writing the previous one overlap with the computation of the current one, in one thread
each. Failures are reported as one line when they happen, collected, and listed in a table for machines.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Generic, TypeVar

from synthseg_core.errors import Failure, SynthSegError
from synthseg_core.system.atomic import check_writable, output_error
from synthseg_core.system.progress import Progress
from synthseg_core.system.tables import append_whole, format_tsv, start_table
from synthseg_core.system.words import counted

Job = TypeVar("Job")
Scan = TypeVar("Scan")
Result = TypeVar("Result")


class FailureTable:
    """A TSV file that exists only if something failed.

    Parameters
    ----------
    path
        Its name; ``None``: keep no table.
    """

    COLUMNS = tuple(field.name for field in fields(Failure))

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.failures: list[Failure] = []

    def start(self) -> None:
        """Remove the table of an earlier run; ``OutputError`` if its place cannot be written to."""
        if self.path is None:
            return
        check_writable(self.path)
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise output_error(self.path, error) from error

    def add(self, failure: Failure) -> None:
        """Keep a failure and write it down at once, so that an interrupted run has its table too."""
        self.failures.append(failure)
        if self.path is None:
            return
        cells = {name: " ".join(text.split()) for name, text in vars(failure).items()}
        header, row = format_tsv([cells], self.COLUMNS).splitlines(keepends=True)
        if len(self.failures) == 1:
            start_table(self.path, header + row)
        else:
            append_whole(self.path, row)

    def closing_lines(self, total: int) -> list[str]:
        """Return the list of failures for the end of a run."""
        if not self.failures:
            return []
        place = "" if self.path is None else f", also listed in {self.path}"
        return [
            f"{len(self.failures)} of {counted(total, 'scan')} failed{place}:",
            *(f"  {f.line()}" for f in self.failures),
        ]


@dataclass(frozen=True)
class Steps(Generic[Job, Scan, Result]):
    """The three steps of one job; each may raise.

    Parameters
    ----------
    name
        How messages call a job.
    read
        Runs ahead, in a thread.
    compute
        Runs in the calling thread.
    write
        Returns warnings; runs behind, in a thread.
    keep_results
        How many finished results may wait for their writing while the next scan is computed: 1, or 0 where results
        are too large to keep two of them in memory.
    """

    name: Callable[[Job], str]
    read: Callable[[Job], Scan]
    compute: Callable[[Job, Scan], Result]
    write: Callable[[Job, Scan, Result], Sequence[str]]
    keep_results: int = 1


def run_one(job: Job, steps: Steps[Job, Scan, Result]) -> Sequence[str]:
    """Run one job without isolation: errors come out. Returns its warnings."""
    scan = steps.read(job)
    return steps.write(job, scan, steps.compute(job, scan))


def run_batch(jobs: Sequence[Job], steps: Steps[Job, Scan, Result], progress: Progress, failures: FailureTable) -> int:
    """Run all jobs, in order, whatever happens to single ones.

    Parameters
    ----------
    jobs
        What to do.
    steps
        How.
    progress, failures
        Where events go; the table may hold failures found before.

    Returns
    -------
    int
        Number of jobs that succeeded.
    """
    batch = _Batch(steps, progress, failures)
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        for job, scan in _read_ahead(jobs, steps.read, reader):
            batch.compute(job, scan, writer)
        batch.settle()
    progress.close()
    return batch.succeeded


def _read_ahead(
    jobs: Sequence[Job], read: Callable[[Job], Scan], reader: ThreadPoolExecutor
) -> Iterable[tuple[Job, Future[Scan]]]:
    """Yield each job with its scan, the next one being read meanwhile; at most two scans are alive."""
    ahead = reader.submit(read, jobs[0]) if jobs else None
    for index, job in enumerate(jobs):
        assert ahead is not None
        current = ahead
        ahead = reader.submit(read, jobs[index + 1]) if index + 1 < len(jobs) else None
        yield job, current


class _Batch(Generic[Job, Scan, Result]):
    """The job whose result is being written, and the count of those that succeeded."""

    def __init__(self, steps: Steps[Job, Scan, Result], progress: Progress, failures: FailureTable) -> None:
        self.succeeded = 0
        self._steps = steps
        self._progress = progress
        self._failures = failures
        self._pending: tuple[Job, Future[Sequence[str]]] | None = None

    def compute(self, job: Job, reading: Future[Scan], writer: ThreadPoolExecutor) -> None:
        """Compute one job and hand its result to the writer."""
        self._progress.started(self._steps.name(job))
        try:
            scan = reading.result()
            result = self._steps.compute(job, scan)
        except Exception as error:  # the boundary that keeps scans apart; unknown errors show their traceback
            self.settle()
            self._fail(job, error)
            return
        self.settle()
        self._pending = job, writer.submit(self._steps.write, job, scan, result)
        if self._steps.keep_results < 1:
            self.settle()

    def settle(self) -> None:
        """Wait for the result that is being written."""
        if self._pending is None:
            return
        (job, writing), self._pending = self._pending, None
        try:
            warnings = writing.result()
        except Exception as error:  # as above
            self._fail(job, error)
        else:
            self.succeeded += 1
            self._progress.finished(self._steps.name(job), warnings)

    def _fail(self, job: Job, error: Exception) -> None:
        known = isinstance(error, SynthSegError)
        failure = Failure.of(error, scan=self._steps.name(job))
        self._failures.add(failure)
        self._progress.failed(failure, "" if known else "".join(traceback.format_exception(error)))
