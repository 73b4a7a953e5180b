"""What a command writes beside its results: checks before anything is computed, and why it failed if it did.

The reason is one line of JSON (``--log-json``), for whoever gathers the failures of many scans.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from synthseg_core.errors import Failure, OutputError, UsageError
from synthseg_core.system.atomic import check_writable, output_error, write_text
from synthseg_core.system.paths import real_path


def flag(name: str) -> str:
    """Return the option that fills an argument."""
    return "--" + name.replace("_", "-")


def check_outputs(command: str, wanted: Mapping[str, Path | None], extensions: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse no output at all, unknown formats and closed folders.

    Parameters
    ----------
    command
        Name of the subcommand, for messages.
    wanted
        Output -> its file, ``None``: not wanted.
    extensions
        Output -> how the name of its file may end.
    """
    if not any(wanted.values()):
        flags = ", ".join(flag(name) for name in wanted)
        raise UsageError(
            f"synthseg {command}", found="no output", expected=f"at least one of {flags}", remedy="add one"
        )
    for name, path in wanted.items():
        if path is not None:
            check_extension(name, path, extensions[name])
            check_writable(path)


def check_extension(name: str, path: Path, extensions: tuple[str, ...]) -> None:
    """Refuse a name that is made for something else; capitals are the same extension."""
    if path.name.endswith((*extensions, *(extension.upper() for extension in extensions))):
        return
    expected = f"a name that ends with {', '.join(extensions)}"
    raise UsageError(flag(name), found=str(path), expected=expected, remedy="correct the name")


def refuse_repeats(inputs: Mapping[str, Path | None], outputs: Mapping[str, Path | None]) -> None:
    """Refuse one file in two roles, above all an output over an input; links and folders are followed.

    Parameters
    ----------
    inputs
        What the file is, in words -> its path.
    outputs
        Argument -> path.
    """
    taken = {real_path(path): words for words, path in inputs.items() if path is not None}
    for name, path in outputs.items():
        if path is None:
            continue
        if (other := taken.setdefault(real_path(path), flag(name))) != flag(name):
            raise UsageError(
                flag(name), found=f"{path}, which is {other} too", expected="a file of its own", remedy="rename one"
            )


def add_log_arguments(group: argparse._ArgumentGroup) -> None:
    """Add the options about failures that a workflow uses."""
    group.add_argument("--log-json", type=Path, metavar="JSON", help="if the scan fails, the reason as one JSON line")
    group.add_argument(
        "--attempt",
        type=int,
        default=1,
        metavar="N",
        help="which attempt this is; from the second on, a known reason in --log-json ends it at once (default: 1)",
    )


@contextmanager
def reason_kept(command: str, log: Path | None, subject: Path, *, attempt: int = 1) -> Iterator[None]:
    """Run the body; if it fails, write the reason to ``log`` and let the error go on.

    Parameters
    ----------
    command
        Name of the subcommand, for warnings.
    log
        File for the reason; ``None``: nobody asked. The record of an earlier attempt is removed first.
    subject
        What an error without a subject of its own is about.
    attempt
        Which attempt this is; a later one does not run where the one before left a reason that stays.

    Raises
    ------
    SynthSegError
        The error of the former attempt, if another one cannot help.
    """
    if log is not None:
        check_extension("log_json", log, (".json",))
        if attempt > 1 and (failure := Failure.in_log(log)) and failure.lasting:
            raise failure.error_again()
        _forget(log)
    try:
        yield
    except Exception as error:  # known or not, it goes on from here; only its reason is kept
        if log is not None:
            _keep(command, log, error, subject)
        raise


def _forget(log: Path) -> None:
    """Remove the record of an earlier attempt."""
    try:
        if log.is_file():
            log.unlink()
    except OSError as error:
        raise output_error(log, error) from error


def _keep(command: str, log: Path, error: Exception, subject: Path) -> None:
    """Write the record of a failure; that this fails as well must not hide the failure."""
    failure = Failure.of(error, subject=str(subject))
    try:
        write_text(log, json.dumps(failure.record()) + "\n")
    except OutputError as second:
        print(f"synthseg {command}: warning: {second}", file=sys.stderr)
