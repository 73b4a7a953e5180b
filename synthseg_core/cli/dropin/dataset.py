"""``synthseg dataset``: every scan of a CSV, resumable; computes only what is missing or out of date."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthseg_core import __version__
from synthseg_core.cli.batch import FailureTable, Steps, run_batch
from synthseg_core.cli.dropin import dataset_table, ledger, one_scan
from synthseg_core.cli.dropin.dataset_table import Columns, Row, Suffixes, Table, results_table, shortened, volumes_of
from synthseg_core.cli.dropin.flags import ModelFlags, add_model_flags, checked_flags
from synthseg_core.cli.dropin.ledger import Entry, Identity, Ledger
from synthseg_core.cli.dropin.names import subject_name
from synthseg_core.cli.dropin.plan import ScanOutputs, refuse_collisions
from synthseg_core.cli.dropin.tables import single_scan_table
from synthseg_core.errors import Failure, InputError, SynthSegError
from synthseg_core.images.reading import Scan
from synthseg_core.system.delimited import absolute
from synthseg_core.system.progress import Progress
from synthseg_core.system.tables import start_table
from synthseg_core.system.words import counted

if TYPE_CHECKING:
    from synthseg_core.segmentation.segment import Segmentation


_SUFFIXES = {
    "segm": "_segm",
    "vol": "_volumes.csv",
    "post": "_posteriors",
    "resample": "_resampled",
    "qc": "_qc.csv",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the reference's data-set command, and ours."""
    table = parser.add_argument_group("scans")
    table.add_argument("--csv", type=Path, required=True, help="table of scans; relative paths start at its folder")
    table.add_argument("--path_column", default="path", metavar="NAME", help="column of the paths (default: path)")
    table.add_argument("--ct_column", metavar="NAME", help="column that says which scans are CT (yes/no, 1/0)")
    outputs = parser.add_argument_group("outputs")
    outputs.add_argument("--out", type=Path, metavar="DIR", help="folder for all outputs (default: beside each scan)")
    outputs.add_argument("--qc", action="store_true", help="also write quality scores")
    outputs.add_argument("--post", action="store_true", help="also write posteriors")
    outputs.add_argument("--resample", action="store_true", help="also write scans resampled to 1 mm, where needed")
    for name, default in _SUFFIXES.items():
        outputs.add_argument(f"--suffix_{name}", default=default, metavar="TEXT", help=f"default: {default}")
    outputs.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="record of finished scans (default: CSV-NAME_synthseg_checkpoint.json in --out or beside the CSV)",
    )
    outputs.add_argument("--failures", type=Path, metavar="FILE", help="table of failed scans (default: likewise)")
    add_model_flags(parser)


@dataclass(frozen=True)
class _Job:
    """One scan of the table with everything its computation needs.

    Parameters
    ----------
    settings
        What the ledger compares.
    """

    row: Row
    outputs: ScanOutputs
    flags: ModelFlags
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class _Source:
    """A scan in memory, and which content its file had."""

    scan: Scan
    identity: Identity


@dataclass(frozen=True)
class _Places:
    """Files that belong to the whole data set."""

    checkpoint: Path
    failures: Path
    results: Path


def run(args: argparse.Namespace) -> int:
    """Check the table, find out what is to do, do it, and gather the results."""
    flags = checked_flags(args)
    table = dataset_table.read_table(args.csv, Columns(args.path_column, args.ct_column, flags.ct))
    outputs = _named_outputs(table, args)
    one_scan.warn_without_place(flags, (one.segmentation for one in outputs.values()), asked=args.addctab)
    broken = dataset_table.unreadable(table.rows)
    if len(broken) == len(table.rows):
        raise _nothing_to_do(table, broken)
    missing = {row.line for row, _ in broken}
    listed = len(table.rows) + len(table.bad_lines)
    jobs = _jobs([row for row in table.rows if row.line not in missing], outputs, flags, quality=args.qc)
    places = _places(args)
    failures = FailureTable(places.failures)
    with ledger.opened(places.checkpoint) as book:
        failures.start()
        _report_lines(table, failures)
        _report(table, broken, failures)
        todo = _to_do(jobs, book)
        if todo:
            _compute(_writable(todo, table, failures), book, args, failures)
        _write_results(table, jobs, failures, places.results)
    _say(*failures.closing_lines(listed))
    finished = listed - len(failures.failures)
    print(f"{finished} of {counted(listed, 'scan')} done, {len(jobs) - len(todo)} of them before: {places.results}")
    return 1 if failures.failures else 0


def _say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _places(args: argparse.Namespace) -> _Places:
    home = absolute(args.out or args.csv.parent)
    stem = home / f"{args.csv.stem}_synthseg"
    return _Places(
        checkpoint=absolute(args.checkpoint or Path(f"{stem}_checkpoint.json")),
        failures=absolute(args.failures or Path(f"{stem}_failures.tsv")),
        results=Path(f"{stem}_volumes.tsv"),
    )


def _named_outputs(table: Table, args: argparse.Namespace) -> dict[int, ScanOutputs]:
    """Name the outputs of every row, by line, and refuse names that get in each other's way."""
    suffixes = Suffixes(
        args.suffix_segm,
        args.suffix_vol,
        args.suffix_post if args.post else None,
        args.suffix_resample if args.resample else None,
        args.suffix_qc if args.qc else None,
    )
    outputs = {row.line: dataset_table.outputs_of(row, args.csv, suffixes, args.out) for row in table.rows}
    dataset_table.refuse_duplicates(table, [outputs[row.line].segmentation for row in table.rows])
    places = _places(args)
    refuse_collisions(
        [args.csv, *(row.scan for row in table.rows)],
        [(row.scan, outputs[row.line].paths()) for row in table.rows],
        [places.checkpoint, places.failures, places.results],
    )
    return outputs


def _jobs(rows: Sequence[Row], outputs: Mapping[int, ScanOutputs], flags: ModelFlags, *, quality: bool) -> list[_Job]:
    """Add to each row the settings that its results depend on; missing weights are an error here."""
    variants = {ct: replace(flags, ct=ct) for ct in {row.ct for row in rows}}
    settings = {ct: one_scan.settings_of(variant, quality=quality) for ct, variant in variants.items()}
    return [_Job(row, outputs[row.line], variants[row.ct], settings[row.ct]) for row in rows]


def _nothing_to_do(table: Table, broken: Sequence[tuple[Row, InputError]]) -> InputError:
    found = f"no scan ({table.bad_lines[0]})" if table.bad_lines else "no scan"
    if broken:
        row, error = broken[0]
        found = f"no readable scan (in line {row.line}, {row.scan}: {error.found})"
    return InputError(
        table.path,
        found=found,
        expected="at least one scan",
        remedy=f"check --path_column, and that relative paths start at {absolute(table.path).parent}",
    )


def _report_lines(table: Table, failures: FailureTable) -> None:
    """Say which lines name no scan, and which cannot be understood; the latter count as failures."""
    if table.empty_lines:
        lines = shortened([str(line) for line in table.empty_lines])
        _say(
            f"warning: {table.path}: left out: {counted(len(table.empty_lines), 'row')} without a path; lines: {lines}"
        )
    for error in table.bad_lines:
        failures.add(Failure.of(error, scan=error.subject))
        _say(str(error))


def _report(table: Table, broken: Sequence[tuple[Row, SynthSegError]], failures: FailureTable) -> None:
    """Say before the run which rows cannot be done; they count as failures."""
    for row, error in broken:
        failures.add(Failure.of(error, scan=str(row.scan)))
        _say(f"{table.path}: line {row.line}: {error}")


def _writable(jobs: Sequence[_Job], table: Table, failures: FailureTable) -> list[_Job]:
    """Return the jobs whose outputs can be written; the others fail now, or end the run if there is nothing else."""
    problems = {job.row.line: dataset_table.unwritable(job.row, job.outputs) for job in jobs}
    closed = [(job.row, error) for job in jobs if (error := problems[job.row.line]) is not None]
    if len(closed) == len(jobs):
        raise closed[0][1]
    _report(table, closed, failures)
    return [job for job in jobs if problems[job.row.line] is None]


def _to_do(jobs: Sequence[_Job], book: Ledger) -> list[_Job]:
    """Return the jobs whose results are missing or out of date, and say why."""
    reasons = [
        book.why_not_done(job.row.scan, job.outputs.segmentation, job.settings, job.outputs.paths()) for job in jobs
    ]
    counts = Counter(reason for reason in reasons if reason is not None)
    why = "".join(f"; {count} to compute: {reason}" for reason, count in counts.most_common())
    _say(f"{len(jobs) - counts.total()} of {counted(len(jobs), 'scan')} up to date{why}")
    current = [job for job, reason in zip(jobs, reasons, strict=True) if reason is None]
    older = {book.version_of(job.outputs.segmentation) for job in current} - {__version__}
    if older:
        _say(f"warning: some were made by version {', '.join(sorted(map(str, older)))}, not {__version__}")
    return [job for job, reason in zip(jobs, reasons, strict=True) if reason is not None]


def _compute(jobs: Sequence[_Job], book: Ledger, args: argparse.Namespace, failures: FailureTable) -> None:
    """Run the jobs."""
    models = one_scan.load(jobs[0].flags, quality=args.qc)
    steps: Steps[_Job, _Source, Segmentation] = Steps(
        name=lambda job: str(job.row.scan),
        read=lambda job: _Source(one_scan.read(job.row.scan), Identity.of(job.row.scan)),
        compute=lambda job, source: one_scan.compute(
            source.scan, models, job.flags, keep_posteriors=args.post, overlapped=len(jobs) > 1
        ),
        write=lambda job, source, result: _write(job, source, result, book),
        keep_results=0 if args.post else 1,
    )
    run_batch(jobs, steps, Progress(len(jobs), sys.stderr), failures)


def _write(job: _Job, source: _Source, result: Segmentation, book: Ledger) -> Sequence[str]:
    """Write all outputs of one scan, then record it."""
    one_scan.write_images(job.outputs, source.scan, result, job.flags)
    _write_table(job, job.outputs.volumes, one_scan.volumes_row(result, cropped=job.flags.cropped))
    if job.outputs.quality is not None:
        _write_table(job, job.outputs.quality, one_scan.quality_row(result))
    sizes = {path: path.stat().st_size if path.exists() else None for path in job.outputs.paths()}
    book.add(job.outputs.segmentation, Entry(source.identity, job.settings, sizes, __version__))
    return result.warnings


def _write_table(job: _Job, path: Path | None, row: one_scan.Row) -> None:
    assert path is not None
    start_table(path, single_scan_table(subject_name(job.row.scan), row.columns, row.cells))


def _write_results(table: Table, jobs: Sequence[_Job], failures: FailureTable, path: Path) -> None:
    """Gather the volumes of all scans in one table."""
    failed = {failure.scan for failure in failures.failures}
    volumes = {
        job.row.line: volumes_of(job.outputs.volumes)
        for job in jobs
        if str(job.row.scan) not in failed and job.outputs.volumes is not None
    }
    start_table(path, results_table(table, volumes))
