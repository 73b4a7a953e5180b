"""One row of the scan table, and what makes an image unusable wherever it was found."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

from synthseg_core.bids.names import ScanName
from synthseg_core.system.file_identity import FileKind, kind_of_file

# File names may have 255 bytes; the longest ending of a derivative and the parts of temporary names need some of them.
_LONGEST_NAME = 180
NOT_DOWNLOADED = "not downloaded"
"""How the problems of images begin that are part of a dataset and not here, as DataLad and git-annex leave them."""
_ANNEX = "/annex/objects/"
# git-annex takes files of more than 32 KiB for contents.
_LARGEST_POINTER = 32768
_FOLDERS = re.compile(r"(sub-[0-9a-zA-Z+]+)(?:/(ses-[0-9a-zA-Z+]+))?(?:/|$)")


@dataclass(frozen=True)
class ScanRow:
    """One image of the table; a field that does not apply is empty.

    Parameters
    ----------
    scan
        Stem of the derivatives, which identifies the scan; empty where the file has no usable name.
    participant_id, session_id
        With ``sub-`` and ``ses-``.
    suffix
        Last word of the scan's name.
    path
        Of the image, relative to the dataset; absolute where it lies elsewhere.
    source
        Of the image, absolute.
    problem
        Why the image cannot be segmented; empty for usable scans.
    model
        Name of a model or path of its card, for this scan alone; empty: the one of the configuration.
    ct
        Whether the scan is CT, ``true`` or ``false``; empty: as the configuration says.
    """

    scan: str
    participant_id: str
    session_id: str
    suffix: str
    path: str
    source: str
    problem: str = ""
    model: str = ""
    ct: str = ""

    @property
    def usable(self) -> bool:
        """Whether the scan can be given to the workflow."""
        return not self.problem

    @property
    def not_downloaded(self) -> bool:
        """Whether the image is missing only because nobody fetched it."""
        return self.problem.startswith(NOT_DOWNLOADED)


COLUMNS = tuple(field.name for field in fields(ScanRow))


def named_row(name: ScanName, path: str, source: str, problem: str = "") -> ScanRow:
    """Return the row of an image whose name is usable."""
    session = name.entities.get("ses")
    return ScanRow(
        scan=name.stem,
        participant_id=f"sub-{name.entities['sub']}",
        session_id=f"ses-{session}" if session else "",
        suffix=name.suffix,
        path=path,
        source=source,
        problem=problem,
    )


def nameless_row(path: str, source: str, problem: str) -> ScanRow:
    """Return the row of what looks like a scan but has no usable name, or is none; its folders say whose it is."""
    place = _FOLDERS.match(path)
    participant, session = place.groups(default="") if place else ("", "")
    return ScanRow("", participant, session, "", path, source, problem)


def folder_row(path: str, root: str, problem: str) -> ScanRow:
    """Return the row of a folder in which scans were to be found and are not."""
    return nameless_row(path, f"{root}/{path}", problem)


def file_problem(source: str) -> str:
    """Say what is wrong with a file that is to be a scan, without opening it; empty if nothing is.

    Links to nowhere are what data sets are made of whose files were not downloaded.
    """
    if os.path.isfile(source):  # noqa: PTH113 - tens of thousands of paths that are text already
        return ""
    path = Path(source)
    if path.is_symlink():
        if _ANNEX in f"/{path.readlink().as_posix()}":
            return f"{NOT_DOWNLOADED}; fetch it, for instance 'datalad get'"
        return "a link to a file that is not there; correct the link, or fetch the file ('datalad get')"
    if path.exists():
        return "not a regular file; put the scan there"
    return "no such file; correct the path"


def pointer_problem(source: str) -> str:
    """Say that a file only stands for one that was not downloaded; empty if it is the file itself, or cannot be read.

    Where links are no use, git-annex and git-lfs leave a few lines of text in place of the data.
    """
    try:
        if not 0 < os.stat(source).st_size <= _LARGEST_POINTER:  # noqa: PTH116 - tens of thousands, text already
            return ""
        kind = kind_of_file(Path(source))
    except OSError:
        return ""
    remedy = {FileKind.ANNEX_POINTER: "datalad get", FileKind.LFS_POINTER: "git lfs pull"}.get(kind)
    return f"{NOT_DOWNLOADED}; fetch it, for instance '{remedy}'" if remedy else ""


def legible(row: ScanRow) -> ScanRow:
    """Keep line ends, tabs and undecodable bytes out of tables and command lines, and names writable."""
    if not (row.path.isprintable() and row.source.isprintable()):
        return nameless_row(ascii(row.path), ascii(row.source), "a path with unprintable characters; rename it")
    if len(row.scan) > _LONGEST_NAME and len(row.scan.rpartition("/")[2]) > _LONGEST_NAME:
        return nameless_row(row.path, row.source, "a name that is too long for its derivatives; shorten it")
    return row


def without_clashes(rows: Iterable[ScanRow]) -> Iterator[ScanRow]:
    """Refuse all scans that would write the same files: which one came first must not decide."""
    rows = list(rows)
    groups: dict[str, list[ScanRow]] = defaultdict(list)
    for row in rows:
        if row.scan:
            groups[row.scan].append(row)
    for row in rows:
        if row.problem or len(groups.get(row.scan, ())) < 2:
            yield row
        else:
            others = ", ".join(other.path for other in groups[row.scan] if other is not row)
            yield replace(row, problem=f"same derivative names as {others}; rename or remove one")
