"""Snakemake as a child process: its command line, its signals, its end."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.app.bundle import snakefile
from synthseg_core.errors import UsageError
from synthseg_core.system.processes import end_with_parent

FOREIGN_VARIABLES = ("SNAKEMAKE_PROFILE",)
"""Variables of the user's environment that would change how Snakemake runs; what ``--profile`` says is all."""
_COMMAND = "synthseg"


@dataclass(frozen=True)
class SnakemakeCall:
    """How Snakemake is called.

    Parameters
    ----------
    directory
        Where it keeps its own files.
    config
        Configuration file.
    profile
        Folder of the profile.
    cores
        CPU cores it may use; ``None``: what the profile says.
    lock_descriptor
        Open file that it inherits; see :mod:`synthseg_core.app.lock`.
    resources
        What all jobs together may use, such as ``mem_mb=32000``.
    extra
        More words for its command line.
    """

    directory: Path
    config: Path
    profile: Path
    cores: int | None
    lock_descriptor: int
    resources: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def command(self, *arguments: str) -> list[str]:
        """Return the command line."""
        options: Mapping[str, object] = {
            "--snakefile": snakefile(),
            "--directory": self.directory,
            "--configfile": self.config,
            "--workflow-profile": self.profile,
            "--cores": self.cores,
        }
        words = [str(word) for pair in options.items() if pair[1] is not None for word in pair]
        # A flag follows the resources, which would take a target for one of them.
        resources = ["--resources", *self.resources, "--rerun-incomplete"] if self.resources else []
        return [sys.executable, "-m", "snakemake", *arguments, *words, *resources, *self.extra]


@dataclass(frozen=True)
class ChildEnd:
    """How Snakemake ended: its exit status, and whether the user asked it to stop."""

    status: int
    interrupted: bool


def has_locks(directory: Path) -> bool:
    """Say whether a Snakemake runs in a folder, or was killed there."""
    return any((directory / ".snakemake" / "locks").glob("*"))


def begun_files(directory: Path) -> frozenset[str]:
    """Return the outputs of jobs that have begun and not ended: of those that run, or of a run that was killed."""
    marks = directory / ".snakemake" / "incomplete"
    names = ("".join(part.removeprefix("@") for part in path.relative_to(marks).parts) for path in marks.rglob("*"))
    return frozenset(text for name in names if (text := _decoded(name)))


def _decoded(name: str) -> str:
    try:
        return base64.urlsafe_b64decode(name).decode()
    except ValueError:  # part of a longer name, or no mark
        return ""


def unlock(call: SnakemakeCall) -> None:
    """Remove the locks of a Snakemake that was killed."""
    done = subprocess.run(
        call.command("--unlock"), check=False, env=child_environment(), capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise UsageError(
            call.directory,
            found=f"a lock that Snakemake cannot remove ({done.stderr.strip()})",
            expected="a work folder without a lock",
            remedy="delete .snakemake/locks there",
        )


def run_snakemake(call: SnakemakeCall, *arguments: str) -> ChildEnd:
    """Run Snakemake to its end, its output going where that of this process goes.

    It leads a process group of its own. Whoever interrupts or terminates this process stops the whole group at once;
    if this process is killed, Snakemake finishes the jobs that run and starts no more (on Linux).
    """
    return _run(call, call.command(*arguments), relayed=False)


def dry_run_snakemake(call: SnakemakeCall, *arguments: str) -> ChildEnd:
    """Let Snakemake print its plan; if the reader goes away, ``BrokenPipeError`` comes at the end and not to it."""
    return _run(call, call.command(*arguments, "--dry-run"), relayed=True)


def summary_of(call: SnakemakeCall, target: str) -> str:
    """Return the table of ``snakemake --summary``: every output of a target, and whether it would be made."""
    command = call.command(target, "--summary")
    done = subprocess.run(command, check=False, env=child_environment(), stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        raise UsageError(
            call.directory,
            found=f"no plan: Snakemake ended with status {done.returncode}",
            expected="a list of what is to be made",
            remedy="see its message above",
        )
    return done.stdout


def _run(call: SnakemakeCall, command: list[str], *, relayed: bool) -> ChildEnd:
    environment = child_environment()
    with (
        _Interrupts() as interrupts,
        subprocess.Popen(
            command,
            env=environment,
            start_new_session=True,
            pass_fds=(call.lock_descriptor,),
            preexec_fn=_ended_with(os.getpid()),
            stdout=subprocess.PIPE if relayed else None,
            encoding="utf-8",
            errors="surrogateescape",
        ) as child,
    ):
        interrupts.forward_to(child.pid)
        _relay(child.stdout or ())
        status = child.wait()
    if status < 0:
        _signal_group(child.pid, signal.SIGTERM)
    return ChildEnd(status, interrupts.received)


def _relay(lines: Iterable[str]) -> None:
    """Print lines as they come; once nobody reads them any more, pass over the rest before the error."""
    rest = iter(lines)
    try:
        for line in rest:
            print(line, end="", flush=True)
    except BrokenPipeError:
        for _ in rest:
            pass
        raise


def child_environment() -> dict[str, str]:
    """Return the environment of Snakemake and its jobs, with this installation's commands first in the search path.

    Profiles that the user has for other workflows are left out.
    """
    here = (Path(sys.argv[0]).absolute().parent, Path(sys.executable).parent)
    folders = [str(folder) for folder in here if (folder / _COMMAND).is_file()]
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])
    if shutil.which(_COMMAND, path=path) is None:
        raise UsageError(
            _COMMAND,
            found="no such command in the search path",
            expected="the command that comes with this package",
            remedy="add its folder to PATH, or install the package again",
        )
    known = {key: value for key, value in os.environ.items() if key not in FOREIGN_VARIABLES}
    return {**known, "PATH": path}


def _ended_with(parent: int) -> Callable[[], None]:
    """Return what makes a new process end in good order when its parent dies, even if it has died already."""
    tie = end_with_parent()

    def begin() -> None:
        tie()
        if os.getppid() != parent:
            os._exit(1)

    return begin


class _Interrupts:
    """While active, interrupts and requests to terminate go to a process group instead of this process."""

    def __init__(self) -> None:
        self.received = False
        self._group: int | None = None

    def __enter__(self) -> _Interrupts:
        self._former = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def forward_to(self, group: int) -> None:
        """Name the group; a signal that came before is passed on now."""
        self._group = group
        if self.received:
            _signal_group(group, signal.SIGINT)

    def _handle(self, _number: int, _frame: object) -> None:
        self.received = True
        if self._group is not None:
            _signal_group(self._group, signal.SIGINT)


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
