"""What is said where a run would be about no scan at all: what is there instead, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from synthseg_core.bids.discovery import looks_like_bids
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.search import Search
from synthseg_core.bids.tally import Tally, formats_in, kinds_text, nearest
from synthseg_core.errors import InputError
from synthseg_core.system.paths import is_file
from synthseg_core.system.words import counted

_SHOWN = 3


def hinted(label: str, known: Collection[str]) -> str:
    """Return a label that is not there, with the one that was perhaps meant."""
    near = nearest(label, known)
    return f"{label} (there is {near})" if near else label


def known_labels(rows: Collection[ScanRow], tally: Tally) -> set[str]:
    """Return the participants and sessions of a dataset, with ``sub-`` and ``ses-``."""
    return {row.participant_id for row in rows} | {row.session_id for row in rows} | tally.participants


def no_usable_scan(
    dataset: Path, search: Search | None, tally: Tally, rows: Sequence[ScanRow], selected: Sequence[ScanRow],
    absent: Sequence[str],
) -> InputError:  # fmt: skip
    """Return the error in one line.

    Parameters
    ----------
    dataset
        The input.
    search
        What was looked for; ``None``: a scan table was read.
    tally
        What the search saw besides.
    rows, selected
        All images of the scan table, and those that were selected; none of these is usable.
    absent
        Participants and sessions that were asked for and are not there.
    """
    parts: list[tuple[str, str]] = []
    if absent:
        labels = ", ".join(hinted(label, known_labels(rows, tally)) for label in absent)
        parts.append((f"no {labels}", "correct the labels"))
    elif rows and not selected:
        parts.append((f"none of {counted(len(rows), 'image')} is selected", "correct the selection"))
    parts += [*_problems(selected), *_of_search(dataset, search, tally, rows)]
    if not parts:
        parts.append(("no image", "check that the dataset is there and its disk mounted"))
    remedies = dict.fromkeys(remedy for _, remedy in parts if remedy)
    return InputError(
        dataset,
        found=f"no usable scan; {'; '.join(text for text, _ in parts)}",
        expected="at least one",
        remedy=" or ".join(remedies) or "check the suffixes that are searched",
    )


def _problems(selected: Sequence[ScanRow]) -> list[tuple[str, str]]:
    absent = [row for row in selected if row.not_downloaded]
    others = [row for row in selected if row.problem and not row.not_downloaded]
    parts: list[tuple[str, str]] = []
    if absent:
        what = f"{counted(len(absent), 'scan')} not downloaded, such as {absent[0].path}"
        parts.append((what, "fetch them, for instance 'datalad get'"))
    if others:
        shown = ", ".join(f"{row.path} ({row.problem.replace('; ', ': ')})" for row in others[:_SHOWN])
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        parts.append((f"problems of {shown}{more}", "correct these"))
    return parts


def _of_search(dataset: Path, search: Search | None, tally: Tally, rows: Sequence[ScanRow]) -> list[tuple[str, str]]:
    if search is None:
        return []
    parts = [(text, _REMEDIES.get(text.partition(":")[0], "")) for text in tally.parts()]
    if search.filter_file and not rows:
        parts.insert(0, (f"nothing that the filter file {search.filter_file} asks for", "correct the filter file"))
    if is_file(dataset):
        return parts if rows else [("a table without a line for a scan", "list the scans in it")]
    if not rows:
        parts += _of_folder(dataset, search, tally)
    return parts


_REMEDIES = {
    "other kinds": "ask for such kinds with --suffixes",
    ".bidsignore leaves out": "ask for such kinds with --suffixes",
    "folders that are not searched": "ask for such folders with --datatypes",
    "formats that are not read": "convert these to .nii.gz",
}


def _of_folder(dataset: Path, search: Search, tally: Tally) -> list[tuple[str, str]]:
    """Say what a folder without any scan holds."""
    parts: list[tuple[str, str]] = []
    formats = formats_in(dataset)
    if formats and not tally.formats:
        remedy = "convert the series with dcm2niix" if "DICOM" in formats else "convert these to .nii.gz"
        parts.append((f"formats that are not read: {kinds_text(formats)}", remedy))
    if search.layout in ("auto", "bids") and looks_like_bids(dataset):
        searched = f"{', '.join(search.suffixes)} in the folders {', '.join(search.datatypes)}"
        parts.append((f"{counted(len(tally.participants), 'participant')} without {searched}", ""))
    return parts
