"""``synthseg predict``: the reference command's flags, file names, tables and numbers, with safe errors and writing."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthseg_core.cli.batch import FailureTable, Steps, run_batch, run_one
from synthseg_core.cli.dropin import one_scan
from synthseg_core.cli.dropin.flags import ModelFlags, add_model_flags, checked_flags
from synthseg_core.cli.dropin.names import InputMode, subject_name
from synthseg_core.cli.dropin.plan import Plan, Request, ScanJob, make_plan
from synthseg_core.cli.dropin.tables import SharedTable, single_scan_table
from synthseg_core.errors import Failure, SynthSegError
from synthseg_core.images.reading import Scan
from synthseg_core.system.atomic import check_writable
from synthseg_core.system.progress import Progress
from synthseg_core.system.tables import start_table
from synthseg_core.system.words import counted

if TYPE_CHECKING:
    from synthseg_core.segmentation.segment import Segmentation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the reference command, and ours."""
    paths = parser.add_argument_group("paths: an image, a folder, or a .txt list of paths (then all outputs are lists)")
    paths.add_argument("--i", required=True, metavar="PATH", help="scan(s)")
    paths.add_argument("--o", required=True, metavar="PATH", help="segmentation(s)")
    paths.add_argument("--vol", metavar="PATH", help="volumes, CSV")
    paths.add_argument("--qc", metavar="PATH", help="quality scores, CSV")
    paths.add_argument("--post", metavar="PATH", help="posteriors")
    paths.add_argument("--resample", metavar="PATH", help="scan(s) resampled to 1 mm, where that was needed")
    paths.add_argument(
        "--failures",
        type=Path,
        metavar="FILE",
        help="table of failed scans (default: beside --o; none for one image)",
    )
    add_model_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Check everything, load the models, and run the scans."""
    flags = checked_flags(args)
    plan = make_plan(Request(args.i, args.o, args.post, args.resample, args.vol, args.qc, args.failures))
    command = _Command(plan, flags, quality=args.qc is not None)
    _check_outputs(plan)
    one_scan.warn_without_place(flags, (job.outputs.segmentation for job in plan.jobs), asked=args.addctab)
    models = one_scan.load(flags, quality=command.quality)
    command.start_tables()
    steps: Steps[ScanJob, Scan, Segmentation] = Steps(
        name=lambda job: str(job.scan),
        read=lambda job: one_scan.read(job.scan),
        compute=lambda _job, scan: one_scan.compute(
            scan, models, flags, keep_posteriors=args.post is not None, overlapped=len(plan.jobs) > 1
        ),
        write=command.write,
        keep_results=0 if args.post else 1,
    )
    failures = FailureTable(plan.failures)
    failures.start()
    status = (_run_single if plan.mode is InputMode.IMAGE else _run_many)(plan, steps, failures)
    if papers := one_scan.citations(flags, quality=command.quality):
        print(papers)
    return status


@dataclass(frozen=True)
class _Command:
    """What writing the results of one scan needs to know."""

    plan: Plan
    flags: ModelFlags
    quality: bool

    def start_tables(self) -> None:
        """Write the headers of the tables that all scans share."""
        if self.plan.volumes is not None:
            SharedTable(self.plan.volumes, one_scan.volume_columns(self.flags)).start()
        if self.plan.quality is not None:
            SharedTable(self.plan.quality, one_scan.quality_columns(self.flags)).start()

    def write(self, job: ScanJob, scan: Scan, result: Segmentation) -> tuple[str, ...]:
        """Write all outputs of one scan; tables last, so that a row means that all is there."""
        one_scan.write_images(job.outputs, scan, result, self.flags)
        volumes = one_scan.volumes_row(result, cropped=self.flags.cropped)
        self._write_row(self.plan.volumes, job.outputs.volumes, job.scan, volumes)
        if self.quality:
            self._write_row(self.plan.quality, job.outputs.quality, job.scan, one_scan.quality_row(result))
        return result.warnings

    @staticmethod
    def _write_row(shared: Path | None, own: Path | None, scan: Path, row: one_scan.Row) -> None:
        subject = subject_name(scan)
        if shared is not None:
            SharedTable(shared, row.columns).add(subject, row.cells)
        if own is not None:
            start_table(own, single_scan_table(subject, row.columns, row.cells))


def _check_outputs(plan: Plan) -> None:
    """Refuse outputs that cannot be written; a list may name places whose failures are those of single scans."""
    jobs = () if plan.mode is InputMode.LIST else plan.jobs
    shared = (plan.volumes, plan.quality, plan.failures)
    for path in (*(path for job in jobs for path in job.outputs.paths()), *shared):
        if path is not None:
            check_writable(path)


def _run_single(plan: Plan, steps: Steps[ScanJob, Scan, Segmentation], failures: FailureTable) -> int:
    """Run the only scan: its error ends the command with status 2."""
    (job,) = plan.jobs
    try:
        warnings = run_one(job, steps)
    except SynthSegError as error:
        failures.add(Failure.of(error, scan=str(job.scan)))
        raise
    for warning in warnings:
        print(f"warning: {job.scan}: {warning}", file=sys.stderr)
    print(f"segmentation saved in {job.outputs.segmentation}")
    return 0


def _run_many(plan: Plan, steps: Steps[ScanJob, Scan, Segmentation], failures: FailureTable) -> int:
    progress = Progress(len(plan.jobs), sys.stderr)
    done = run_batch(plan.jobs, steps, progress, failures)
    progress.say(*failures.closing_lines(len(plan.jobs)))
    print(f"{done} of {counted(len(plan.jobs), 'scan')} segmented")
    return 1 if failures.failures else 0
