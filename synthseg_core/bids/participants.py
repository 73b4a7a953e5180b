"""``participants.tsv`` of a derivative dataset: what the raw dataset says of them, as far as it can be read.

Sources in this order: the table of the raw dataset; where it has none, what an earlier run copied, as the raw dataset
may be gone; the names alone. A table that is there and cannot be read is told, and no earlier copy stands in for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, cast

from synthseg_core.bids.columns import column_meanings
from synthseg_core.bids.participant_table import ParticipantTable, read_participants
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.errors import InputError
from synthseg_core.system.atomic import write_json, write_text
from synthseg_core.system.delimited import absolute
from synthseg_core.system.settings import known_mapping, read_mapping
from synthseg_core.system.tables import format_tsv
from synthseg_core.system.words import counted, listed

NAME, MEANING_NAME = "participants.tsv", "participants.json"
_KEY = "participant_id"
_ABOUT = {
    "Description": "Participants with scans in this dataset, as the raw dataset describes them",
    _KEY: {"Description": "Participant"},
}
_FOLDER = re.compile(r"sub-[0-9a-zA-Z+]+")


def write_participants(dataset: Path, participants: Iterable[str]) -> tuple[str, ...]:
    """Write the table with one row for each participant, and a JSON file with the meaning of its columns.

    BIDS wants a row for everybody who has a folder, also for those whom the raw dataset no longer has; and no table
    where nobody has one.

    Parameters
    ----------
    dataset
        Derivative dataset; its ``dataset_description.json`` says where the raw one is.
    participants
        With ``sub-``, in any order.

    Returns
    -------
    tuple of str
        What of the raw table could not be used, a line for each kind of fault.
    """
    folders, raw = participant_folders(dataset), _raw_folder(dataset)
    if not folders:
        _remove_copies(dataset, raw)
        return ()
    present = {participant for participant in participants if participant}
    wanted = present | {*folders}
    place = absolute((raw or dataset) / NAME)
    source = raw if raw and _is_there(place) else dataset
    table, notes = _table(source, wanted, participant_folders(raw) if raw else ())
    if source == raw:
        missing = [participant for participant in table.missing if participant in present]
        notes += (f"{place}: no row for {listed(missing)}",) if missing else ()
    elif raw and table.columns:
        why = "a link to nowhere" if place.is_symlink() else "no such file any more"
        notes += (f"{place}: {why}; what an earlier run has copied from it is kept",)
    meanings, more = _meanings(source)
    rows = ({**table.rows.get(participant, {}), _KEY: participant} for participant in sorted(wanted))
    write_text(dataset / NAME, format_tsv(rows, (_KEY, *table.columns)))
    write_json(dataset / MEANING_NAME, column_meanings({**_ABOUT, **meanings}))
    return (*notes, *more)


def participant_folders(dataset: Path) -> list[str]:
    """Return the participants that have a folder in a dataset, with ``sub-``."""
    if not dataset.is_dir():
        return []
    return sorted(path.name for path in dataset.iterdir() if _FOLDER.fullmatch(path.name) and path.is_dir())


def departed(dataset: Path, rows: Collection[ScanRow], excluded: Collection[str] = ()) -> list[str]:
    """Return lines about results of participants whom a run was not about.

    Parameters
    ----------
    dataset
        Derivative dataset; its ``dataset_description.json`` says where the raw one is.
    rows
        All rows of the scan table; who has a folder in the raw dataset is there, whatever the rows are about.
    excluded
        Labels, without ``sub-``, that the run was to leave out.
    """
    raw = _raw_folder(dataset)
    if raw is None:  # then nobody can say who has left it
        return []
    known = {row.participant_id for row in rows} | {*participant_folders(raw)}
    folders = participant_folders(dataset)
    told = {
        "that the dataset no longer has": [name for name in folders if name not in known],
        "that this run leaves out": [f"sub-{label}" for label in excluded if f"sub-{label}" in known & {*folders}],
    }
    results = {why: [name for name in names if any((dataset / name).rglob("*.*"))] for why, names in told.items()}
    return [
        f"results of {counted(len(names), 'participant')} {why}: {listed(names)}"
        for why, names in results.items()
        if names
    ]


def _table(
    folder: Path, participants: Collection[str], others: Collection[str]
) -> tuple[ParticipantTable, tuple[str, ...]]:
    """Read the table of a folder, and say what cannot be read of it."""
    if not _is_there(folder / NAME):
        return ParticipantTable(), ()
    try:
        table = read_participants(folder / NAME, participants, others)
    except InputError as error:
        return ParticipantTable(), (f"{error}; no values are copied from it",)
    return table, table.notes


def _meanings(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what the JSON file of a folder says of the columns, or why nothing."""
    path = folder / MEANING_NAME
    if not _is_there(path):
        return {}, ()
    try:
        return read_mapping(path, "meaning of the columns", is_json=True), ()
    except InputError as error:
        return {}, (f"{error}; columns of {NAME} are not explained",)


def _is_there(path: Path) -> bool:
    try:
        return bool(path.stat())
    except OSError:
        return False


def _remove_copies(dataset: Path, raw: Path | None) -> None:
    """Remove what an earlier run copied, as far as it can be copied again."""
    if raw and _is_there(raw / NAME):
        for name in (NAME, MEANING_NAME):
            (dataset / name).unlink(missing_ok=True)


def _raw_folder(dataset: Path) -> Path | None:
    """Return the folder of the raw dataset; ``None`` if it is unknown or not there."""
    links: Any = known_mapping(dataset / "dataset_description.json").get("DatasetLinks")
    place: Any = cast(dict[str, Any], links).get("raw") if isinstance(links, dict) else None
    folder = dataset / place if isinstance(place, str) else None
    return folder if folder and folder.is_dir() else None
