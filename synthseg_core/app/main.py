"""``synthseg-bids``: the BIDS App. Makes the scan table, runs Snakemake, gathers the group tables, sums up."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from synthseg_core.app.arguments import (
    OPTION_NAMES,
    build_parser,
    build_status_parser,
    config_values,
    split_off_snakemake,
)
from synthseg_core.app.bundle import Profile
from synthseg_core.app.configuration import checked, write_config
from synthseg_core.app.continued import with_model
from synthseg_core.app.gather import (
    layout_from,
    look_at,
    results_of_run,
    results_so_far,
    rows_to_gather,
    running_text,
)
from synthseg_core.app.layout import Layout
from synthseg_core.app.lock import RunLock
from synthseg_core.app.machine import machine_text
from synthseg_core.app.parts import describe_once, forget_parts, work_lock
from synthseg_core.app.plan import Plan, Selection, layout_of
from synthseg_core.app.preflight import Preflight, findings, first_of, require_device
from synthseg_core.app.preview import to_do
from synthseg_core.app.screen import RunScreen, explain, shortened
from synthseg_core.app.slurm.record import require_no_jobs
from synthseg_core.app.slurm.run import ShardedRun, run_in_shards, run_on_slurm, shard_options
from synthseg_core.app.snakemake import ChildEnd, SnakemakeCall, has_locks, run_snakemake, unlock
from synthseg_core.bids.names import report_name
from synthseg_core.bids.participants import departed
from synthseg_core.bids.scan_table import require_input, write_table
from synthseg_core.errors import SynthSegError, UsageError
from synthseg_core.reports import SCANS_NAME, GroupTables, ScanStatus, write_group_tables
from synthseg_core.system.atomic import remove_abandoned
from synthseg_core.system.memory import physical_bytes
from synthseg_core.system.signals import keep_status_on_leaving, run_for_reader, terminated_like_interrupted
from synthseg_core.system.words import counted

# Stage -> the flag that asks for it.
_FLAGS = {
    **{"translate": "--translate-before", "posteriors": "--save-posteriors", "resample": "--save-resampled"},
    **{"parcellate": "--parc", "qc": "--qc", "merge_head": "--merge-head"},
}
# What Snakemake ends with if its command line is wrong.
_USAGE_ERROR = 2
_PREVIEW = "synthseg-bids-preview-"
# What the page about a scan cannot be made without.
_SHOWN = ("dseg", "volumes", "sidecar")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the app and return its exit status."""
    keep_status_on_leaving()
    return run_for_reader(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    words, extra = split_off_snakemake(sys.argv[1:] if argv is None else argv)
    try:
        with terminated_like_interrupted():
            return _answer(words, tuple(extra))
    except SynthSegError as error:
        print(f"synthseg-bids: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("synthseg-bids: interrupted", file=sys.stderr)
        return 130


def _answer(words: list[str], extra: tuple[str, ...]) -> int:
    if words[:1] == ["status"]:
        return _status(build_status_parser().parse_args(words[1:]))
    args = build_parser().parse_args(words)
    values = config_values(args)
    if args.reports_only:
        return _reports_only(args, checked(with_model(values), names=OPTION_NAMES))
    if args.analysis_level == "group":
        return _group(checked(values, names=OPTION_NAMES))
    return _participant(args, checked(with_model(values), names=OPTION_NAMES), extra)


def _status(args: argparse.Namespace) -> int:
    """Print the state of every scan; 1 if some scan is not done."""
    layout = layout_from(args.output_dir, args.work_dir)
    tables = look_at(layout)
    print(running_text(layout))
    _tell(*departed(layout.output, [status.row for status in tables.statuses]))
    _sum_up(tables, layout.logs)
    return int(any(_is_wrong(status, by_label=False) for status in tables.statuses))


def _group(config: Mapping[str, Any]) -> int:
    """Gather what exists."""
    plan = Plan.from_config(config)
    tables = results_so_far(plan)
    rows = [status.row for status in tables.statuses]
    notes = write_group_tables(tables, plan.layout.output, threshold=plan.quality_threshold)
    _write_group_page(plan)
    found = plan.found if plan.dataset.exists() else ()
    _tell(*notes, *departed(plan.layout.output, (*found, *rows)))
    _sum_up(tables, plan.layout.output / f"{SCANS_NAME}.tsv")
    return 0


def _reports_only(args: argparse.Namespace, config: Mapping[str, Any]) -> int:
    """Write the pages again, from what is there; 1 if one could not be made."""
    from synthseg_core.reports.scan_facts import ScanFacts
    from synthseg_core.reports.scan_report import ReportOptions, write_scan_reports

    config = {**config, "report": {**config["report"], "enabled": True}}
    plan = Plan.from_config(config)
    rows = [row for row in plan.selection.of(rows_to_gather(plan)) if row.scan]
    done = [row for row in rows if all(plan.layout.derivative(row.scan, one).is_file() for one in _SHOWN)]
    scans = [(ScanFacts(plan.layout.output, row.scan), Path(row.source)) for row in done]
    options = ReportOptions(plan.reports.palette, plan.quality_threshold, plan.reports.viewer)
    there = [(facts, scan if scan.is_file() else None) for facts, scan in scans]
    failed = 0
    for number, (facts, reason) in enumerate(write_scan_reports(there, options, args.n_cpus), 1):
        print(f"[{number}/{len(done)}] {reason or facts.page.name}", flush=True)
        failed += bool(reason)
    if not plan.selection.is_partial:
        _group(config)
    return int(bool(failed))


def _write_group_page(plan: Plan) -> None:
    """Write the page about all scans and say where it is."""
    if plan.reports.enabled:
        # They load much that only looks need.
        from synthseg_core.reports.group_facts import GroupFacts
        from synthseg_core.reports.group_report import write_group_report

        print(f"look at {write_group_report(GroupFacts(plan.layout.output), plan.quality_threshold)}")


def _participant(args: argparse.Namespace, config: Mapping[str, Any], extra: tuple[str, ...]) -> int:
    """Run, or only look; a look leaves nothing behind where nothing has been run."""
    layout = layout_of(config)
    require_input(Path(config["input"]), config["layout"])
    known = Plan.from_config(config)
    known.require_scans()
    if not args.dry_run or layout.work.is_dir():
        return _run(args, config, known, extra)
    with TemporaryDirectory(prefix=_PREVIEW) as work:
        return _run(args, {**config, "work": work}, known, extra)


def _run(args: argparse.Namespace, config: Mapping[str, Any], known: Plan, extra: tuple[str, ...]) -> int:
    """Say what will be done with the scans that were found, let Snakemake do it, and sum up."""
    layout, profile = layout_of(config), Profile.named(args.profile)
    shards = shard_options(profile.folder)
    here = profile.executor == "local" and shards is None
    with work_lock(layout, Selection.from_config(config), together=here, force=args.unlock) as lock:
        require_no_jobs(layout, wait=not (args.dry_run or args.no_wait), force=args.unlock)
        call = _call(args, layout, lock, extra)
        plan = replace(Plan.from_config(config), table=call.config.with_name(layout.scan_table.name)).like(known)
        if here:
            require_device(config["device"])
        whole = not plan.selection.is_partial
        found = findings(plan, validate=whole and not args.skip_bids_validation, everything=args.rerun)
        print("\n".join(found.lines(listed=not args.dry_run)), flush=True)
        config = {**config, "input": str(plan.dataset), "scans": str(plan.table)}
        if call.cores:
            print(machine_text(call.cores, call.resources), flush=True)
        elif args.mem:
            print("--mem is not used: the profile says how much memory a job gets", file=sys.stderr)
        write_config(call.config, config)
        _recover(call, plan, lock, force=args.unlock)
        screen = _screen(plan, call, verbose=args.verbose)
        if args.dry_run:
            return _preview(plan, call, found, screen)
        plan.settle()
        print(f"What Snakemake says goes to {call.log}", flush=True)
        if shards is not None:
            end = run_in_shards(ShardedRun(plan, call, config, shards), wait=not args.no_wait)
        else:
            end = _run_snakemake(plan, call, config, screen)
        screen.close()
        lock.crashed = has_locks(call.directory)  # a Snakemake that was killed
        return 0 if end is None else _finish(plan, end, explain(end, screen, call.log))


def _run_snakemake(plan: Plan, call: SnakemakeCall, config: Mapping[str, Any], screen: RunScreen) -> ChildEnd:
    layout = plan.layout
    if call.directory != layout.work:  # one part among others; "status" and "group" look at the whole
        write_table(layout.scan_table, plan.rows)
        write_config(layout.run_config, {**config, "scans": str(layout.scan_table)})
        describe_once(plan)
        return run_snakemake(call, "scans", watch=screen.look)
    forget_parts(layout)
    if call.cores is None:
        return run_on_slurm(call, layout, screen.look)
    return run_snakemake(call, "all", watch=screen.look)


def _preview(plan: Plan, call: SnakemakeCall, found: Preflight, screen: RunScreen) -> int:
    """Say what would be done."""
    end = run_snakemake(call, "all", "--dry-run", watch=screen.look)
    screen.close()
    faults = explain(end, screen, call.log)
    print("\n".join(faults), file=sys.stderr) if faults else print("\n".join(to_do(plan, screen.jobs, found.to_do)))
    if not plan.layout.work.name.startswith(_PREVIEW):
        print(f"All scans are in {plan.table}")
    return 130 if end.interrupted else 2 * bool(end.status)


def _screen(plan: Plan, call: SnakemakeCall, *, verbose: bool) -> RunScreen:
    rows = {row.scan: row for row in plan.usable}
    return RunScreen(rows, plan.layout, call.events, log=call.log if verbose else None)


def _call(args: argparse.Namespace, layout: Layout, lock: RunLock, extra: tuple[str, ...]) -> SnakemakeCall:
    """Return how Snakemake is called; cores and memory are those of this machine, if the jobs run here."""
    profile = Profile.named(args.profile)
    here = profile.executor == "local"
    resources = profile.resources(args.mem or physical_bytes() // 10**6) if here else ()
    if args.stop_on_first_crash:
        profile = profile.without("keep-going", lock.folder / "profile")
    return SnakemakeCall(
        directory=lock.folder,
        config=lock.folder / ("preview" if args.dry_run else "") / layout.run_config.name,
        profile=profile.folder,
        cores=args.n_cpus if here else None,
        lock_descriptors=lock.descriptors,
        resources=resources,
        extra=(*(["--forceall"] if args.rerun else []), *extra),
    )


def _recover(call: SnakemakeCall, plan: Plan, lock: RunLock, *, force: bool) -> None:
    """Clear what a killed run left behind; another Snakemake's lock is not ours to remove."""
    if lock.after_crash or force:
        remove_leftovers(plan)
    if has_locks(call.directory):
        if not (lock.after_crash or force):
            raise UsageError(
                call.directory,
                found="a lock of a Snakemake that synthseg-bids did not start",
                expected="a work folder that nobody else uses",
                remedy="wait for it; if it has ended, run again with --unlock",
            )
        unlock(call)
    lock.cleared = True


def remove_leftovers(plan: Plan) -> None:
    """Remove temporary files of dead processes from every folder that this run writes to."""
    for folder in {Path(path).parent for path in plan.all_files()} | {plan.layout.settings("segment").parent}:
        remove_abandoned(folder)


def _finish(plan: Plan, end: ChildEnd, faults: Sequence[str]) -> int:
    """Gather, sum up, and decide the exit status."""
    for line in faults:
        print(line, file=sys.stderr)
    if end.status == _USAGE_ERROR and not end.interrupted:
        return 2
    folder = plan.layout.output
    selected = results_of_run(plan)
    _tell(*(f"  not there: {label}" for label in plan.absent))
    _tell(*departed(folder, plan.rows, plan.selection.exclude_participants))
    if plan.selection.is_partial:
        _sum_up(selected, plan.layout.logs)
    else:
        _tell(*write_group_tables(selected, folder, threshold=plan.quality_threshold))
        _write_group_page(plan)
        _sum_up(selected, folder / f"{SCANS_NAME}.tsv")
    unmade = plan.pages.lacking(status.row.scan for status in selected.statuses if status.status == "done")
    if unmade and not end.interrupted:
        print(f"pages that could not be made, of scans that are done: {counted(len(unmade), 'page')}, see", end=" ")
        print(plan.layout.logs / "report" / f"{report_name(unmade[0])}.log")
    return exit_status(end, selected.statuses, absent=plan.absent, by_label=plan.selection.is_partial, unmade=unmade)


def exit_status(
    end: ChildEnd,
    statuses: Sequence[ScanStatus],
    *,
    absent: Sequence[str] = (),
    by_label: bool = False,
    unmade: Sequence[str] = (),
) -> int:
    """Return the exit status of a run.

    Parameters
    ----------
    end
        How Snakemake ended.
    statuses
        Of the scans that the run was about.
    absent
        Participants and sessions that were asked for and are not there.
    by_label
        Whether participants or sessions were asked for; then what is not downloaded is no success either.
    unmade
        Scans that are done but whose pages could not be made.
    """
    if end.interrupted:
        print("synthseg-bids: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    if end.status < 0:  # killed
        return 128 - end.status
    wrong = [status for status in statuses if _is_wrong(status, by_label)]
    if wrong or absent:
        return 2 if len(statuses) == 1 and wrong and wrong[0].recorded else 1
    if unmade:
        return 1
    return 2 if end.status else 0


def stale_stages(tables: GroupTables) -> list[str]:
    """Return a line for each stage that was not asked for and whose results are those of another segmentation."""
    stages = Counter(
        stage
        for one in tables.statuses
        if one.status in ("done", "kept")
        for stage, status in one.stages.items()
        if status == "outdated"
    )
    return [
        f"{stage}: results of {counted(number, 'scan')} are of another segmentation and left out of the group tables; "
        f"run with {_FLAGS[stage]} to make them again"
        for stage, number in stages.items()
    ]


def _tell(*lines: str) -> None:
    for line in lines:
        print(line)


def _is_wrong(status: ScanStatus, by_label: bool) -> bool:
    """Say whether a scan is no success; a dataset may be downloaded in part, so what is not here is none by itself."""
    return status.status not in ("done", "kept") and (
        by_label or not (status.status == "skipped" and status.row.not_downloaded)
    )


def _sum_up(tables: GroupTables, see: Path) -> None:
    """List what is not done and what is doubtful, and count."""
    unfinished = [f"{one.status}: {one.row.path}: {one.reason}" for one in tables.statuses if one.status != "done"]
    doubts = {one.row.path: one.facts.warnings for one in tables.statuses if one.facts.warnings}
    doubtful = [f"doubtful: {path}: {shortened(warnings)}" for path, warnings in doubts.items()]
    for line in (*first_of(unfinished), *first_of(doubtful)):
        print(line)
    _tell(*stale_stages(tables))
    counts = ", ".join(f"{count} {status}" for status, count in tables.counts().items())
    look = f"; {len(doubts)} doubtful, look at the results" if doubts else ""
    print(f"{counts}{look}; see {see}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
