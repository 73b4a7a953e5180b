"""A run on SLURM: in shards, or with each job of Snakemake as one of SLURM's.

In shards it is an array of SLURM jobs, each with its own Snakemake, and a last job for the group tables. The submitting
process finds the scans, writes the dataset-level files and the settings, and asks Snakemake which scans are to be made.
A shard is then plain Snakemake over a scan table of its own, in a folder of its own; it writes to the same derivatives,
logs and work folder as any other run.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from synthseg_core.app.bundle import shards_schema
from synthseg_core.app.configuration import checked, write_config
from synthseg_core.app.layout import Layout
from synthseg_core.app.parts import link_notes
from synthseg_core.app.plan import Plan
from synthseg_core.app.slurm.commands import cancel, require_slurm, slurm_environment, submit, wait_until_gone
from synthseg_core.app.slurm.record import SlurmRecord
from synthseg_core.app.slurm.shards import SHARDS_FILE, ShardOptions, pending_scans
from synthseg_core.app.snakemake import (
    FOREIGN_VARIABLES,
    ChildEnd,
    SnakemakeCall,
    child_environment,
    run_snakemake,
    summary_of,
)
from synthseg_core.bids.scan_table import write_table
from synthseg_core.errors import UsageError
from synthseg_core.system.atomic import write_text
from synthseg_core.system.words import counted

_STATUS, _LOG = "status", "slurm.log"
_PLUGIN = "snakemake_executor_plugin_slurm"
_SHARD_SCRIPT = """\
#!/bin/bash
# {title}
rm -f {status}
unset {foreign}
export PATH={path}
# Sockets of this job; the folder of the submitting computer may not be here, and other jobs may run on this one.
export XDG_RUNTIME_DIR=$(mktemp -d)
# Nodes may have no home folder that can be written to, and not know the user's name.
cache=${{XDG_CACHE_HOME:-$HOME/.cache}}
if ! mkdir -p "$cache" 2> /dev/null || ! [ -w "$cache" ]; then
  export XDG_CACHE_HOME=$XDG_RUNTIME_DIR SYNTHSEG_MODELS=${{SYNTHSEG_MODELS:-$cache/synthseg}}
fi
export LOGNAME=${{LOGNAME:-$(id -un 2> /dev/null || echo "user-$UID")}}
{command}
status=$?
rm -rf "$XDG_RUNTIME_DIR"
echo $status > {status}
exit $status
"""
_ARRAY_SCRIPT = """\
#!/bin/bash
exec bash {folder}/"$SLURM_ARRAY_TASK_ID"/job.sh
"""


@dataclass(frozen=True)
class ShardedRun:
    """What a run in shards needs.

    Parameters
    ----------
    plan
        Of the whole run.
    call
        Snakemake over the whole run.
    config
        Configuration that it reads.
    options
        How the run is divided.
    """

    plan: Plan
    call: SnakemakeCall
    config: Mapping[str, Any]
    options: ShardOptions

    @property
    def folder(self) -> Path:
        """Where the shards have their folders, numbered from 1; those of the last run only."""
        return self.plan.layout.work / "shards"


def shard_options(profile: Path) -> ShardOptions | None:
    """Read how a profile divides a run; ``None`` if it does not.

    Raises
    ------
    UsageError
        If its file does not fit the schema.
    """
    path = profile / SHARDS_FILE
    if not path.is_file():
        return None
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return ShardOptions.from_options(checked(values, shards_schema()))


def run_in_shards(run: ShardedRun, *, wait: bool) -> ChildEnd | None:
    """Submit what is to be made; whoever interrupts cancels the jobs.

    Parameters
    ----------
    run
        What is to be made, and in which parts.
    wait
        Whether to return only when all jobs have ended.

    Returns
    -------
    :
        How it ended; ``None`` if jobs were submitted that are not waited for.
    """
    require_slurm()
    end = run_snakemake(run.call, *map(str, run.plan.dataset_files))
    if end.status or end.interrupted:
        return end
    files = {row.scan: [str(path) for path in run.plan.files_of(row.scan)] for row in run.plan.usable}
    shards = run.options.divide(pending_scans(files, summary_of(run.call, "scans")))
    if not shards:
        print("All scans are up to date.", flush=True)
        return end
    shutil.rmtree(run.folder, ignore_errors=True)
    record = SlurmRecord.of(run.plan.layout)
    try:
        jobs = " and ".join(_submit(run, shards, record))
        scans = sum(map(len, shards))
        print(
            f"{counted(scans, 'scan')} in {counted(len(shards), 'shard')}: SLURM jobs {jobs}, logs in {run.folder}",
            flush=True,
        )
        if not wait:
            return None
        wait_until_gone(record.name, lambda number: print(f"{counted(number, 'job')} waiting or running", flush=True))
    except KeyboardInterrupt:
        cancel(record.name)
        return ChildEnd(1, interrupted=True)
    record.settle()
    bad = [number for number in range(1, len(shards) + 1) if not _went_well(run.folder / str(number))]
    return ChildEnd(int(bool(bad)), interrupted=False)


def run_on_slurm(call: SnakemakeCall, layout: Layout, watch: Callable[[], object] | None = None) -> ChildEnd:
    """Run Snakemake to its end, its jobs named so that a later run finds them; ``watch`` as for ``run_snakemake``.

    Raises
    ------
    UsageError
        If SLURM or Snakemake's plugin for it is not here.
    """
    require_slurm()
    if find_spec(_PLUGIN) is None:
        raise UsageError(
            "--profile",
            found=f"no {_PLUGIN} in this environment",
            expected="Snakemake's plugin for SLURM",
            remedy="pip install 'synthseg-bids[slurm]'",
        )
    record = SlurmRecord.of(layout)
    record.begin()
    end = run_snakemake(replace(call, extra=("--slurm-jobname-prefix", record.name, *call.extra)), "all", watch=watch)
    record.settle()
    return end


def _submit(run: ShardedRun, shards: Sequence[Sequence[str]], record: SlurmRecord) -> list[str]:
    """Write the scripts, submit the array and the group job, and return their numbers; all jobs or none."""
    environment = slurm_environment(child_environment())
    for number, stems in enumerate(shards, start=1):
        _write_shard(run, number, stems)
    array = run.folder / "array.sh"
    write_text(array, _ARRAY_SCRIPT.format(folder=shlex.quote(str(run.folder))))
    record.begin()
    jobs: list[str] = []
    try:
        words = [f"--job-name={record.name}-shards", run.options.array_word(len(shards)), *_log(run.folder / "%a")]
        jobs.append(submit([*words, *run.options.allocation.words()], array, environment))
        if not run.plan.selection.is_partial:
            group = _write_group(run)
            words = [f"--job-name={record.name}-group", f"--dependency=afterany:{jobs[0]}", *_log(group.parent)]
            jobs.append(submit([*words, *run.options.group.words()], group, environment))
    except BaseException:
        cancel(record.name)
        raise
    record.begin(jobs)
    return jobs


def _write_shard(run: ShardedRun, number: int, stems: Sequence[str]) -> None:
    """Write the scan table, the configuration and the script of a shard."""
    folder, wanted = run.folder / str(number), set(stems)
    write_table(folder / "scans.tsv", [row for row in run.plan.usable if row.scan in wanted])
    write_config(folder / "run_config.yaml", {**run.config, "scans": str(folder / "scans.tsv")})
    allocation = run.options.allocation
    call = replace(
        run.call,
        directory=folder,
        config=folder / "run_config.yaml",
        cores=allocation.cpus,
        resources=(*_other(run.call.resources), f"mem_mb={allocation.mem_mb}"),
    )
    link_notes(run.call.directory, folder)
    _write_script(folder, f"Shard {number} of a run of synthseg-bids: {counted(len(stems), 'scan')}.", call, "scans")


def _write_group(run: ShardedRun) -> Path:
    call = replace(run.call, directory=run.folder / "group", cores=1)
    target = "group_report" if run.plan.reports.enabled else "group"
    return _write_script(call.directory, "Group tables of a run of synthseg-bids.", call, target)


def _write_script(folder: Path, title: str, call: SnakemakeCall, target: str) -> Path:
    """Write a batch script; the folder is the job's own, so a lock there is from a former attempt of the same job."""
    command = shlex.join(replace(call, extra=(*call.extra, "--nolock")).command(target))
    status, path = (shlex.quote(word) for word in (str(folder / _STATUS), child_environment()["PATH"]))
    words = {"title": title, "status": status, "path": path, "command": command, "foreign": " ".join(FOREIGN_VARIABLES)}
    write_text(folder / "job.sh", _SHARD_SCRIPT.format(**words))
    return folder / "job.sh"


def _log(folder: Path) -> list[str]:
    """Return where SLURM writes; a percent sign in the path of the work folder is doubled for it."""
    parent = str(folder.parent).replace("%", "%%")
    return [f"--output={parent}/{folder.name}/{_LOG}", f"--chdir={folder.parent}"]


def _other(resources: Sequence[str]) -> list[str]:
    return [pair for pair in resources if not pair.startswith("mem_mb=")]


def _went_well(folder: Path) -> bool:
    """Say whether a shard ended well, and print how it ended if not."""
    path, shard, see = folder / _STATUS, f"Shard {folder.name}", f"see {folder / _LOG}"
    if not path.is_file():
        print(f"{shard} was cancelled, or ran out of time or memory: {see}", flush=True)
        return False
    status = path.read_text(encoding="utf-8").strip()
    if status != "0":
        print(f"{shard} ended with status {status}: {see}", flush=True)
    return status == "0"
