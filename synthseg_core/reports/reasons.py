"""Why a job did not make its outputs, from what it left in the logs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

# A log of a job can be long where libraries talk; its last line is near its end.
_TAIL_BYTES = 65536


def last_record(path: Path) -> dict[str, Any]:
    """Return the last JSON line of a file; empty if there is none."""
    for line in reversed(_lines(path)):
        try:
            record: Any = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict):
            return cast(dict[str, Any], record)
    return {}


def reason_text(record: Mapping[str, Any]) -> str:
    """Put a recorded error in one line."""
    if {"found", "expected", "remedy"} <= record.keys():
        text = f"found {record['found']}; expected {record['expected']}; {record['remedy']}"
    else:
        text = str(record.get("message", ""))
    return " ".join(f"{record.get('error', 'error')}: {text}".split())


def guess(log: Path) -> str:
    """Say what can be said of a job that left no record: it was killed, interrupted, or met an unknown error."""
    last = next((" ".join(line.split()) for line in reversed(_lines(log)) if line.strip()), "")
    return f"ended without giving a reason; {f'its log ends with: {last}' if last else 'perhaps killed'}"


def _lines(path: Path) -> list[str]:
    """Return the last lines of a file; none if it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace").split("\n")
    except OSError:
        return []
