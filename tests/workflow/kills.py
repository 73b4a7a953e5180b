"""Kill one of the processes of a run at a random moment, and look at what is left behind."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil

from tests.workflow.runs import ENVIRONMENT

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
_PATIENCE_S = 300.0
_GLANCE_S = 0.01


@dataclass(frozen=True)
class Kill:
    """What is killed, how, and when.

    Parameters
    ----------
    target
        ``front``: the command itself; ``head``: Snakemake; ``job``: a job's process; ``worker``; ``family``: all of
        them; ``heads``: the command and Snakemake, but not the jobs.
    number
        Signal.
    files
        How many more result files than before the run there must be; reached or not, the end of the run ends the wait.
    delay_s
        From then on.
    """

    target: str
    number: signal.Signals
    files: int
    delay_s: float


def draw(rng: random.Random, targets: tuple[str, ...], files: int) -> Kill:
    """Draw a kill; a third falls into the first seconds of a run, whatever is done by then."""
    target = rng.choice(targets)
    number = rng.choice(SIGNALS) if target in ("front", "head", "job") else signal.SIGKILL
    if target in ("front", "head", "family") and rng.random() < 1 / 3:
        return Kill(target, number, 0, rng.uniform(0.0, 4.0))
    return Kill(target, number, rng.randrange(1, files), rng.uniform(0.0, 0.6))


def run_and_kill(
    command: list[str], out: Path, log: Path, kill: Kill, family: list[tuple[str, psutil.Process]] | None = None
) -> tuple[int, bool]:
    """Start a command and kill what is to be killed; return the exit status and whether it came to that.

    ``family`` receives all processes of the run at that moment, each with its role.
    """
    before = len(results(out))
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=log.parent, env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            struck = _strike(process, out, before, kill, [] if family is None else family)
            return process.wait(_PATIENCE_S), struck
        finally:
            process.kill()


def _strike(
    process: subprocess.Popen[bytes], out: Path, before: int, kill: Kill, family: list[tuple[str, psutil.Process]]
) -> bool:
    _wait(lambda: len(results(out)) >= before + kill.files, process, _PATIENCE_S)
    time.sleep(kill.delay_s)
    _wait(lambda: bool(_victims(process, kill.target)), process, 20.0)
    family += [(role(one), one) for one in _victims(process, "family")]
    victims = _victims(process, kill.target)
    for victim in victims:
        try:
            victim.send_signal(kill.number)
        except psutil.NoSuchProcess:
            continue
    return bool(victims)


def _wait(condition, process: subprocess.Popen[bytes], longest_s: float) -> None:
    deadline = time.monotonic() + longest_s
    while process.poll() is None and not condition() and time.monotonic() < deadline:
        time.sleep(_GLANCE_S)


def _victims(process: subprocess.Popen[bytes], target: str) -> list[psutil.Process]:
    """Return the processes that a target stands for, parents first; none if they are not there now."""
    if process.poll() is not None:
        return []
    front = psutil.Process(process.pid)
    if target == "front":
        return [front]
    try:
        family = [front, *front.children(recursive=True)]
        return family if target == "family" else [one for one in family if role(one) in _ROLES[target]][: _MOST[target]]
    except psutil.Error:
        return []


_ROLES = {"head": ("head",), "job": ("job",), "worker": ("worker",), "heads": ("front", "head")}
_MOST = {"head": 1, "job": 1, "worker": 1, "heads": 2}


def role(process: psutil.Process) -> str:
    """Say what part of a run a process is."""
    try:
        words = process.cmdline()
    except psutil.NoSuchProcess:  # gone since, or a zombie
        words = []
    if "snakemake" in words:
        return "head"
    if "serve" in words:
        return "worker"
    if "--log-json" in words:
        return "job"
    return "front" if any(word.endswith("synthseg-bids") for word in words) else ""


_NO_RESULTS = (".logs", ".snakemake", "benchmarks", "requests", "settings", "parts")


def results(out: Path) -> list[Path]:
    """Return every file under a final name, but for logs and what Snakemake and the planner keep for themselves."""
    found: list[Path] = []
    for folder, below, names in os.walk(out):  # which does not mind what goes away meanwhile
        below[:] = [name for name in below if name not in _NO_RESULTS]
        found += [Path(folder, name) for name in names if not name.startswith(".tmp-")]
    return found


def temporaries(out: Path) -> list[str]:
    """Return the temporary files that are there."""
    return [str(path) for path in out.rglob(".tmp-*")]


def incomplete(out: Path) -> list[str]:
    """Return the files under final names that are not whole, with what is wrong with them."""
    return [fault for path in results(out) if (fault := _fault(path))]


def _fault(path: Path) -> str:
    check = next((check for end, check in _CHECKS.items() if path.name.endswith(end)), None)
    try:
        if check is not None:
            check(path)
    except FileNotFoundError:  # removed by a run that still ends
        return ""
    except Exception as error:
        return f"{path}: {type(error).__name__}: {error}"
    return ""


def _check_image(path: Path) -> None:
    gzip.decompress(path.read_bytes())  # with the checksum at the end
    np.asanyarray(nib.loadsave.load(path).dataobj)


def _check_table(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n"), "no line end"
    assert len({line.count("\t") for line in text.splitlines()}) == 1, "not rectangular"


def _check_json(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.name != "run.json" or text:  # emptied at the end of a run
        json.loads(text)


def _check_arrays(path: Path) -> None:
    with np.load(path) as arrays:
        for name in arrays:
            arrays[name]


_CHECKS = {".nii.gz": _check_image, ".tsv": _check_table, ".json": _check_json, ".npz": _check_arrays}
