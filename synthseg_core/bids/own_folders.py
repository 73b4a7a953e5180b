"""Folders that a derivative dataset has beside its results: work files and logs.

Their paths have the participant in them, so pybids and others that do not know ``.bidsignore`` would take what lies
there for files of the participant. Names with a dot are skipped by all of them.
"""

from __future__ import annotations

from pathlib import Path

WORK, LOGS = ".work", ".logs"
# Earlier versions had no dot; a dataset of theirs keeps its folders, so that its run goes on where it stopped.
_FORMER = {WORK: "work", LOGS: "logs"}


def work_folder(dataset: Path) -> Path:
    """Return where a derivative dataset has its scan table, settings and intermediates, unless they are elsewhere."""
    return _folder(dataset, WORK)


def log_folder(dataset: Path) -> Path:
    """Return where a derivative dataset has a log for each scan and stage."""
    return _folder(dataset, LOGS)


def _folder(dataset: Path, name: str) -> Path:
    former = dataset / _FORMER[name]
    return former if former.is_dir() and not (dataset / name).is_dir() else dataset / name
