"""The warm worker of a run: started by Snakemake's process before the first job, stopped after the last.

Jobs learn its address from an environment variable, so that neither their command lines nor their parameters change
with it. Whatever goes wrong here costs time only: jobs that find no worker do their work themselves.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthseg_core.cli.worker.environment import ADDRESS, PER_SCAN
from synthseg_core.cli.worker.listener import is_answered, socket_path
from synthseg_core.errors import SynthSegError

_START_S = 10.0
_END_S = 10.0
_GLANCE_S = 0.02
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # as Snakemake sets them for jobs
_running: dict[Path, subprocess.Popen[bytes]] = {}


def start_worker_for(workflow: Any, config: Mapping[str, Any]) -> None:
    """Start the worker of a Snakemake run, if it has use for one; called by the hook ``onstart``.

    Parameters
    ----------
    workflow
        Snakemake's own object; the worker's log goes into its folder.
    config
        Configuration of the run.
    """
    os.environ.pop(ADDRESS, None)
    threads = _threads_of_jobs(workflow) if config["worker"] and _jobs_run_here(workflow) else []
    if len(threads) < 2:  # a single job would have to wait for the worker to load what it can load itself
        return
    try:
        socket = start_worker(_folder_of(workflow), config["device"], max(threads))
    except (SynthSegError, OSError) as error:
        print(f"no worker: {error}", file=sys.stderr)
        return
    os.environ[ADDRESS] = str(socket)


def stop_worker_of(workflow: Any) -> None:
    """Stop the worker of a run, if it has one; called by the hooks ``onsuccess`` and ``onerror``."""
    os.environ.pop(ADDRESS, None)
    process = _running.pop(_folder_of(workflow), None)
    if process is None:
        return
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start_worker(work: Path, device: str, threads: int) -> Path:
    """Start a worker that ends with this process, and return its socket once it listens.

    Raises
    ------
    SynthSegError, OSError
        If it cannot be started.
    """
    socket = socket_path(work)
    options = {"--device": device, "--threads": threads, "--parent": os.getpid()}
    words = [str(word) for pair in options.items() for word in pair]
    work.mkdir(parents=True, exist_ok=True)
    with (work / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "synthseg_core.cli.main", "serve", str(socket), *words],
            env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt from the terminal is not for it
        )
    _running[work] = process
    deadline = time.monotonic() + _START_S
    while process.poll() is None and not is_answered(socket) and time.monotonic() < deadline:
        time.sleep(_GLANCE_S)
    if process.poll() is not None:
        raise OSError(f"it ended at once; see {work / 'worker.log'}")
    return socket


def _folder_of(workflow: Any) -> Path:
    """Return Snakemake's own folder in the work folder of a run."""
    return Path(workflow.persistence.path)


def _jobs_run_here(workflow: Any) -> bool:
    """Say whether jobs are processes of this machine with this installation: no cluster, container, or dry run."""
    foreign = workflow.touch or workflow.dryrun or workflow.deployment_settings.deployment_method
    return workflow.is_main_process and workflow.local_exec and not foreign


def _threads_of_jobs(workflow: Any) -> list[int]:
    """Return the threads of each job to run that a worker could do."""
    return [job.threads for job in workflow.dag.needrun_jobs() if job.rule.name in PER_SCAN]
