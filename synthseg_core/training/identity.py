"""Refuse to resume a training with another configuration or other data than it began with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthseg_core.errors import UsageError, WeightsError
from synthseg_core.training.state import LAYOUT


def require_same(path: Path, content: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Raise ``UsageError`` if the checkpoint belongs to another training, naming what differs."""
    if content.get("layout") != LAYOUT:
        raise WeightsError(
            path,
            found=f"a checkpoint of layout {content.get('layout')}",
            expected=f"layout {LAYOUT}",
            remedy="resume with the version of this program that wrote it, or start from its weights elsewhere",
        )
    stored = json.loads(content["identity"])
    if differing := differences(stored, json.loads(json.dumps(identity))):
        raise UsageError(
            path,
            found=f"a training with other settings: {'; '.join(differing)}",
            expected="those that it began with",
            remedy="train in another folder, perhaps starting from these weights",
        )


def differences(stored: Any, asked: Any, name: str = "") -> list[str]:
    """Return one line for each entry of nested dictionaries that differs."""
    if not (isinstance(stored, dict) and isinstance(asked, dict)):
        return [] if stored == asked else [f"{name} {_short(stored)} instead of {_short(asked)}"]
    lines = []
    for key in [*stored, *(key for key in asked if key not in stored)]:
        lines += differences(stored.get(key), asked.get(key), f"{name}.{key}" if name else key)
    return lines


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
