"""Why a command failed, kept as one line of JSON (``--log-json``) for whoever gathers the reasons of many scans."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synthseg_core.cli.outputs import check_extension
from synthseg_core.errors import OutputError, SynthSegError
from synthseg_core.system.atomic import output_error, write_text


@contextmanager
def reason_kept(command: str, log: Path | None, subject: Path) -> Iterator[None]:
    """Run the body; if it fails, write the reason to ``log`` and let the error go on.

    Parameters
    ----------
    command
        Name of the subcommand, for warnings.
    log
        File for the reason; ``None``: nobody asked. The record of an earlier attempt is removed first.
    subject
        What an error without a subject of its own is about.
    """
    if log is not None:
        check_extension("log_json", log, (".json",))
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
    if isinstance(error, SynthSegError):
        record = error.record()
    else:
        record = {"error": type(error).__name__, "subject": str(subject), "message": str(error)}
    try:
        write_text(log, json.dumps(record) + "\n")
    except OutputError as second:
        print(f"synthseg {command}: warning: {second}", file=sys.stderr)
