"""Runs about some participants or sessions, which share output and work folder with others like them.

A cluster job a participant, all into one output folder: each has a folder of its own below ``parts/`` for Snakemake,
its scan table and its configuration, and holds the lock of the work folder together with the others. A run about the
whole dataset holds it alone. Results, logs, settings and what later stages start from are where any run has them, so
that a later run finds them, whatever its selection.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from argparse import Namespace
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from synthseg_core.app.layout import Layout
from synthseg_core.app.lock import (
    RunLock,
    acquire,
    in_use,
    open_lock,
    record_of,
    recorded,
    require_ended,
    run_lock,
    try_lock,
    who,
)
from synthseg_core.app.plan import Plan, Selection
from synthseg_core.cli import describe

_LONGEST_NAME = 60
# Snakemake's notes about each output: what it was made of, and that a job has begun to make it. Of files only.
_NOTES = ("metadata", "incomplete")


@contextmanager
def part_lock(layout: Layout, selection: Selection, *, force: bool = False) -> Generator[RunLock, None, None]:
    """Hold the lock of a part, and that of the work folder together with other parts; see :func:`work_lock`.

    Raises
    ------
    UsageError
        If a run about the whole dataset is going on, or one about some of the same participants and sessions.
    OutputError
        If the folder cannot be written to.
    """
    about = {"participants": list(selection.participants), "sessions": list(selection.sessions)}
    own = part_folder(layout, selection) / layout.lock.name
    with ExitStack() as held:
        whole = held.enter_context(open_lock(layout.lock))
        acquire(whole, layout.lock, fcntl.LOCK_SH)
        require_ended(layout.lock, recorded(whole), force=force)
        with entrance(layout):
            for other in part_locks(layout):
                if other != own:
                    _require_disjoint(other, about, force=force)
            lock = held.enter_context(run_lock(own, force=force, about=about))
        lock.descriptors += (whole.fileno(),)
        link_notes(layout.work, own.parent)
        yield lock


@contextmanager
def work_lock(
    layout: Layout, selection: Selection, *, together: bool, force: bool = False
) -> Generator[RunLock, None, None]:
    """Hold the lock of the work folder, alone or, about single participants or sessions, with others like it.

    Parameters
    ----------
    layout
        Folders of the run.
    selection
        What it is about.
    together
        Whether it may go on beside others.
    force
        Trust the caller that runs recorded by other computers have ended.
    """
    if together and selection.is_partial:
        with part_lock(layout, selection, force=force) as lock:
            yield lock
    else:
        with run_lock(layout.lock, force=force, parts=part_locks(layout)) as lock:
            yield lock


def part_folder(layout: Layout, selection: Selection) -> Path:
    """Return where a part keeps its own files."""
    labels = [f"sub-{label}" for label in selection.participants] + [f"ses-{label}" for label in selection.sessions]
    name = "_".join(sorted(labels))
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return layout.parts / name


def part_locks(layout: Layout) -> list[Path]:
    """Return the lock files of all parts that there are or were."""
    return sorted(layout.parts.glob(f"*/{layout.lock.name}"))


@contextmanager
def entrance(layout: Layout) -> Iterator[None]:
    """Be the only part that begins: no other one looks who is there, or writes files of the dataset as a whole."""
    path = _entrance(layout)
    with open_lock(path) as file:
        if not try_lock(file, path):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def owners_of_parts(layout: Layout) -> list[str]:
    """Say who works on parts now; nothing is written."""
    if not _entrance(layout).is_file():
        return []
    with _entrance(layout).open(encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # a look at a lock is a lock for a moment, in the way of a part that begins
        return [f"{who(record_of(path))} ({path.parent.name})" for path in part_locks(layout) if _is_held(path)]


def describe_once(plan: Plan) -> None:
    """Write the files of the dataset as a whole, unless they are as they would be; one part at a time."""
    with entrance(plan.layout):
        settings = plan.stage_file("dataset")
        if all(_is_newer(path, settings) for path in plan.dataset_files):
            return
        head = plan.head.model if plan.head else None
        options = {"model": plan.models, "merge_head": head, "source": plan.source_folder, "stages": list(plan.stages)}
        describe.run(Namespace(dataset=plan.layout.output, **options))


def forget_parts(layout: Layout) -> None:
    """Remove the folders of parts; only for who holds the work folder alone."""
    shutil.rmtree(layout.parts, ignore_errors=True)


def link_notes(whole: Path, own: Path) -> None:
    """Let a Snakemake with a folder of its own keep its notes where those of the whole run are, for every later run."""
    for name in _NOTES:
        kept, link = (folder / ".snakemake" / name for folder in (whole, own))
        kept.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(kept)


def _is_newer(path: Path, settings: Path) -> bool:
    return path.is_file() and path.stat().st_mtime_ns >= settings.stat().st_mtime_ns


def _entrance(layout: Layout) -> Path:
    return layout.parts / "entrance"


def _require_disjoint(other: Path, about: Mapping[str, Any], *, force: bool) -> None:
    """Refuse to begin if another part is about some of the same participants and sessions, and may be going on."""
    record = record_of(other)
    if not record or not all(_meet(about[key], record.get(key, [])) for key in about):
        return
    if _is_held(other):
        raise in_use(other, record, "wait for it, or end it")
    require_ended(other, record, force=force)


def _meet(some: Sequence[str], others: Sequence[str]) -> bool:
    """Say whether two selections of labels have one in common; none stands for all."""
    return not some or not others or not set(some).isdisjoint(others)


def _is_held(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
