"""The programs of SLURM: submit, look, cancel, wait."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from synthseg_core.errors import UsageError

# Seconds between two looks at the queue: short runs end soon, and a cluster's queue is not asked for long ones often.
_FIRST_LOOK_S, _LONGEST_PAUSE_S, _SLOWER = 1.0, 20.0, 1.3
# A controller that restarts answers again within minutes.
_FAILED_LOOKS = 15


def require_slurm() -> None:
    """Raise ``UsageError`` if the programs of SLURM are not here."""
    if shutil.which("sbatch") is None:
        raise _absent("sbatch")


def submit(words: Sequence[str], script: Path, environment: dict[str, str]) -> str:
    """Submit a batch script and return the number of its job.

    Parameters
    ----------
    words
        Options of ``sbatch``.
    script
        A shell script.
    environment
        Of the job.

    Raises
    ------
    UsageError
        If SLURM refuses it.
    """
    done = _call(["sbatch", "--parsable", *words, str(script)], environment)
    if done.returncode:
        raise UsageError(
            "sbatch",
            found=_last_line(done.stderr),
            expected="a job that SLURM accepts",
            remedy="correct the profile's options",
        )
    return done.stdout.strip().split(";")[0]


def live_jobs(name: str) -> list[str]:
    """Return the numbers of this user's jobs that wait or run and whose names begin so; array elements one by one.

    Raises
    ------
    UsageError
        If SLURM does not answer.
    """
    words = ["--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%j"]
    done = _call(["squeue", *words], slurm_environment())
    if done.returncode:
        raise UsageError(
            "squeue",
            found=_last_line(done.stderr),
            expected="the queue of SLURM",
            remedy="try again when SLURM answers",
        )
    pairs = (line.split("|", 1) for line in done.stdout.splitlines())
    return [number for number, other in pairs if other.startswith(name)]


def cancel(name: str) -> None:
    """Cancel the jobs whose names begin so, if SLURM answers."""
    with suppress(UsageError):
        if numbers := live_jobs(name):
            _call(["scancel", *sorted({number.partition("_")[0] for number in numbers})], slurm_environment())


def wait_until_gone(name: str, report: Callable[[int], None]) -> None:
    """Return when no job waits or runs whose name begins so.

    Parameters
    ----------
    name
        Start of the names of the jobs.
    report
        Called with the number of such jobs whenever it changes.

    Raises
    ------
    UsageError
        If SLURM does not answer for minutes.
    """
    pause, known, failures = _FIRST_LOOK_S, -1, 0
    while known:
        try:
            number, failures = len(live_jobs(name)), 0
        except UsageError:
            number, failures = known, failures + 1
            if failures == _FAILED_LOOKS:
                raise
        if number and number != known:
            report(number)
        known = number
        if known:
            time.sleep(pause)
            pause = min(pause * _SLOWER, _LONGEST_PAUSE_S)


def slurm_environment(base: dict[str, str] | None = None) -> dict[str, str]:
    """Return an environment without what would change the answers of SLURM, or describe an allocation around us."""
    known = dict(os.environ) if base is None else base
    foreign = ("SQUEUE_", "SLURM_")
    return {key: value for key, value in known.items() if key == "SLURM_CONF" or not key.startswith(foreign)}


def _call(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False
        )
    except FileNotFoundError as error:
        raise _absent(command[0]) from error


def _absent(program: str) -> UsageError:
    return UsageError(
        program,
        found="no such command",
        expected="the programs of SLURM",
        remedy="run where they are: on a login node of the cluster",
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["a failure without a message"])[-1]
