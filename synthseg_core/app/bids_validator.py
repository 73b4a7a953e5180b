"""What the BIDS validator says of a dataset, where it is installed. It advises; scans are judged one by one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from synthseg_core.app.preflight import first_of

_COMMAND = "bids-validator-deno"


def validation_report(dataset: Path) -> list[str]:
    """Return the errors that the validator finds, by kind; nothing where it is not installed or finds none."""
    command = _command()
    if command is None:
        return []
    done = subprocess.run(
        [command, str(dataset), "--format", "json", "--ignoreNiftiHeaders"],
        check=False, capture_output=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        report: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
        issues = report["issues"]["issues"]
    except (ValueError, KeyError, TypeError):
        return [f"The BIDS validator gave no answer (status {done.returncode})."]
    errors = Counter(issue["code"] for issue in issues if issue["severity"] == "error")
    lines = first_of(f"{code} ({count})" for code, count in sorted(errors.items()))
    return ["The BIDS validator finds errors, which need not matter here:", *lines] if errors else []


def _command() -> str | None:
    """Return the validator of this environment, or one in the search path."""
    beside = Path(sys.executable).with_name(_COMMAND)
    return str(beside) if beside.is_file() else shutil.which(_COMMAND)
