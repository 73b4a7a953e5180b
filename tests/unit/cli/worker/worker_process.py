"""A real worker, and real clients of it, which share its working folder as the jobs of a run do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from synthseg_core.cli.worker.listener import is_answered

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PROGRAM = [sys.executable, "-m", "synthseg_core.cli.main"]
MODEL = ["--model", "tiny-random", "--device", "cpu", "--threads", "1"]
OUTPUTS = {
    **{"--dseg": "dseg.nii.gz", "--dseg-1mm": "dseg_1mm.nii.gz", "--volumes": "volumes.tsv"},
    **{"--sidecar": "dseg.json", "--decision": "decision.npz"},
}
"""Names beside the scan."""


def segment(scan: Path) -> list[str]:
    """Return the words that segment a scan with all usual outputs beside it."""
    outputs = [word for flag, name in OUTPUTS.items() for word in (flag, str(scan.with_name(name)))]
    return ["segment", str(scan), *MODEL, *outputs, "--log-json", str(scan.with_name("reason.json"))]


def through(socket: Path, words: Sequence[str]) -> list[str]:
    """Return the command line of a client."""
    return [*PROGRAM, "--worker", str(socket), *words]


def run(command: Sequence[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, standard output and error apart."""
    env = {**ENVIRONMENT, **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def worker(socket: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker that listens, in the folder of its socket; its reports go to a file there."""
    with log_of(socket).open("wb") as log:
        command = [*PROGRAM, "serve", str(socket), "--device", "cpu", "--threads", "1", *words]
        process = subprocess.Popen(command, cwd=socket.parent, env=ENVIRONMENT, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: is_answered(socket) or process.poll() is not None)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def log_of(socket: Path) -> Path:
    """Return the file of a worker's reports."""
    return socket.with_suffix(".log")


def jobs_done(socket: Path) -> int:
    """Return how many jobs a worker has reported."""
    return log_of(socket).read_text().count('{"words"')


def wait_for(condition, seconds: float = 60.0) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@contextmanager
def held_up(socket: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Yield a client whose job is under way in the worker and cannot write: nobody reads its standard error.

    The job has begun when the reason of an earlier failure is gone; its first warning then finds a full pipe.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    filled = 0
    while True:
        try:
            filled += os.write(writing, b"." * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    (folder / "reason.json").write_text("earlier")
    with subprocess.Popen(
        through(socket, segment(folder / "one.nii.gz")), cwd=socket.parent, env=ENVIRONMENT, stderr=writing
    ) as client:
        os.close(writing)
        try:
            wait_for(lambda: not (folder / "reason.json").exists())
            with os.fdopen(reading, "rb") as said:
                yield client, said
        finally:
            client.kill()
