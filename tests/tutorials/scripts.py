"""Run the scripts of the tutorials in this process, as they are run from a shell."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

from tests.pages import ROOT

FOLDER = ROOT / "docs" / "tutorials"


def load(name: str) -> dict[str, Any]:
    """Return the names that a script defines, without running it."""
    return _run(name, "tutorial_script", [])


def run(name: str, *words: object) -> None:
    """Run a script; what fails in it, fails here."""
    _run(name, "__main__", [str(word) for word in words])


def _run(name: str, run_name: str, words: list[str]) -> dict[str, Any]:
    script = str(next(FOLDER.glob(f"{name}*.py")))
    arguments, path = sys.argv, list(sys.path)
    sys.argv, sys.path = [script, *words], [str(FOLDER), *path]
    try:
        return runpy.run_path(script, run_name=run_name)
    finally:
        sys.argv, sys.path = arguments, path


def stems(suffix: str) -> list[str]:
    """Return the names of all numbered files of one kind."""
    return sorted(Path(path).stem for path in FOLDER.glob(f"[0-9]*{suffix}"))
