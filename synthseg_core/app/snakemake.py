"""Snakemake as a child process: its command line, its signals, what it says, its end."""

from __future__ import annotations

import base64
import getpass
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.app.bundle import snakefile
from synthseg_core.app.events import VARIABLE
from synthseg_core.errors import UsageError
from synthseg_core.system.paths import is_allowed, user_cache
from synthseg_core.system.processes import end_with_parent

FOREIGN_VARIABLES = ("SNAKEMAKE_PROFILE",)
"""Variables of the user's environment that would change how Snakemake runs; what ``--profile`` says is all."""
_COMMAND, _MODELS = "synthseg", "SYNTHSEG_MODELS"
_GLANCE_S = 0.2


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
    lock_descriptors
        Open files that it inherits; see :mod:`synthseg_core.app.lock`.
    resources
        What all jobs together may use, such as ``mem_mb=32000``.
    extra
        More words for its command line.
    """

    directory: Path
    config: Path
    profile: Path
    cores: int | None
    lock_descriptors: tuple[int, ...]
    resources: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        """All that Snakemake, and jobs without a log of their own, have said in the last run."""
        return self.config.parent / "snakemake.log"

    @property
    def events(self) -> Path:
        """What happens in the run; see :mod:`synthseg_core.app.events`."""
        return self.config.parent / "events.jsonl"

    def environment(self) -> dict[str, str]:
        """Return the environment; without a home folder of use, caches are in the folder of the call."""
        return child_environment(self.directory / ".snakemake" / "cache")

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
        call.command("--unlock"), check=False, env=call.environment(), capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise UsageError(
            call.directory,
            found=f"a lock that Snakemake cannot remove ({done.stderr.strip()})",
            expected="a work folder without a lock",
            remedy="delete .snakemake/locks there",
        )


def run_snakemake(call: SnakemakeCall, *arguments: str, watch: Callable[[], object] | None = None) -> ChildEnd:
    """Run Snakemake to its end; what it says goes to the log of the call.

    It leads a process group of its own. Whoever interrupts or terminates this process stops the whole group at once;
    if this process is killed, Snakemake finishes the jobs that run and starts no more (on Linux).

    Parameters
    ----------
    call
        How it is called.
    arguments
        Targets and more options.
    watch
        Called a few times a second while it runs, and once afterwards.

    Returns
    -------
    :
        How it ended.
    """
    look = watch or _look_away
    call.events.unlink(missing_ok=True)
    environment = {**call.environment(), VARIABLE: str(call.events)}
    with (
        call.log.open("wb") as log,
        _Interrupts() as interrupts,
        subprocess.Popen(
            call.command(*arguments),
            env=environment,
            start_new_session=True,
            pass_fds=call.lock_descriptors,
            preexec_fn=_ended_with(os.getpid()),
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as child,
    ):
        interrupts.forward_to(child.pid)
        status = _wait(child, look)
    if status < 0:
        _signal_group(child.pid, signal.SIGTERM)
    look()
    return ChildEnd(status, interrupts.received)


def _look_away() -> None:
    return


def _wait(child: subprocess.Popen[bytes], look: Callable[[], object]) -> int:
    while True:
        try:
            return child.wait(_GLANCE_S)
        except subprocess.TimeoutExpired:
            look()


def summary_of(call: SnakemakeCall, target: str) -> str:
    """Return the table of ``snakemake --summary``: every output of a target, and whether it would be made."""
    command = call.command(target, "--summary")
    with call.log.open("ab") as log:
        done = subprocess.run(
            command, check=False, env=call.environment(), stdout=subprocess.PIPE, stderr=log, encoding="utf-8"
        )
    if done.returncode:
        raise UsageError(
            call.directory,
            found=f"no plan: Snakemake ended with status {done.returncode}",
            expected="a list of what is to be made",
            remedy=f"see {call.log}",
        )
    return done.stdout


def child_environment(cache: Path | None = None) -> dict[str, str]:
    """Return the environment of Snakemake and its jobs, with this installation's commands first in the search path.

    Profiles that the user has for other workflows are left out.

    Parameters
    ----------
    cache
        Folder for what Snakemake keeps in the user's cache, where there is no home folder that can be written to.
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
    return {**known, "PATH": path, **_name_of_user(), **(_other_cache(cache) if cache else {})}


def _name_of_user() -> dict[str, str]:
    """Return a name for a user whom this computer does not know, as in a container; Snakemake asks for one."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        return {"LOGNAME": f"user-{os.getuid()}"}
    return {}


def _other_cache(cache: Path) -> dict[str, str]:
    """Return where caches are, if the user's own cannot be used; weights that lie there are found as before."""
    own = user_cache()
    if own is None:
        return {"XDG_CACHE_HOME": str(cache), "HOME": str(cache)}
    if _is_usable(own.parent):
        return {}
    seen = is_allowed(own, os.R_OK | os.X_OK) and _MODELS not in os.environ
    return {"XDG_CACHE_HOME": str(cache), **({_MODELS: str(own)} if seen else {})}


def _is_usable(folder: Path) -> bool:
    """Say whether there is such a folder, or can be, and files can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return is_allowed(folder, os.W_OK | os.X_OK)


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
