"""Names of the command ``siam``: which scans it takes, and where their label maps go. The disk is looked at, not read.

What is other than there: label maps of earlier runs and files beside scans are never taken for scans, and a folder may
hold files of several extensions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.errors import Failure, InputError
from synthseg_core.images.formats import extension

EXTENSIONS = (".nii", ".nii.gz")
# Label maps, and the copies in RAS order that an interrupted run of the original leaves behind.
_OWN = re.compile(r"siamV0\d_|toCano_")


@dataclass(frozen=True)
class SiamJob:
    """One scan and its label map."""

    scan: Path
    output: Path


@dataclass(frozen=True)
class SiamPlan:
    """What a call is about.

    Parameters
    ----------
    jobs
        Scans, in the order of their names.
    failures
        Scans that cannot have a label map of their own.
    meaning
        File that says what the labels mean.
    is_folder
        Whether a folder was given.
    """

    jobs: tuple[SiamJob, ...]
    failures: tuple[Failure, ...]
    meaning: Path
    is_folder: bool


def siam_plan(source: Path, out: str | None, version: str) -> SiamPlan:
    """Work out scans and names.

    Parameters
    ----------
    source
        ``-i``: a scan or a folder.
    out
        ``-o``: text after the prefix of a single file; name of a folder in the folder of the scans, or an absolute one.
    version
        Of SIAM, ``0.3``.

    Raises
    ------
    InputError
        If there is nothing to segment.
    """
    prefix = f"siamV{version.replace('.', '')}_"
    absolute = out is not None and Path(out).is_absolute()
    if not source.is_dir():
        folder, start = (Path(out), prefix) if out is not None and absolute else (source.parent, prefix + (out or ""))
        job = SiamJob(source, folder / (start + _compressed(source)))
        return SiamPlan((job,), (), folder / f"label_{start}.json", is_folder=False)
    folder = source if out is None else Path(out) if absolute else source / (prefix + out)
    jobs: dict[Path, SiamJob] = {}
    failures = []
    for scan in scans_in(source):
        target = folder / (prefix + _compressed(scan))
        first = jobs.setdefault(target, SiamJob(scan, target))
        if first.scan != scan:
            failures.append(Failure.of(_same_name(scan, first.scan), scan=str(scan)))
    return SiamPlan(tuple(jobs.values()), tuple(failures), folder / f"label_{prefix}.json", is_folder=True)


def scans_in(folder: Path) -> list[Path]:
    """Return the scans of a folder, by name, and nothing that this command makes; ``InputError`` if there are none."""
    files = sorted(path for path in folder.iterdir() if extension(path) in EXTENSIONS and not path.is_dir())
    scans = [path for path in files if not _OWN.match(path.name) and not path.name.startswith(".")]
    if not scans:
        found = f"{len(files)} NIfTI files, all of them label maps of this command" if files else "no NIfTI file"
        raise InputError(folder, found=found, expected="scans, .nii or .nii.gz", remedy="check the path")
    return scans


def _compressed(scan: Path) -> str:
    """Return the name of a scan as a compressed file; label maps always are."""
    kind = extension(scan)
    return (scan.name[: -len(kind)] if kind in EXTENSIONS else scan.name) + ".nii.gz"


def _same_name(scan: Path, other: Path) -> InputError:
    return InputError(
        scan, found=f"{other.name} beside it", expected="names whose label maps differ", remedy="rename one of them"
    )
