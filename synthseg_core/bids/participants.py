"""``participants.tsv`` of a derivative dataset: what the raw dataset says of them, as far as it can be read.

Sources in this order: the raw dataset; what an earlier run copied, as the raw dataset may be gone; the names alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from synthseg_core.errors import InputError
from synthseg_core.system.atomic import write_json, write_text
from synthseg_core.system.settings import known_mapping
from synthseg_core.system.tables import format_tsv, read_tsv

NAME, MEANING_NAME = "participants.tsv", "participants.json"
_KEY = "participant_id"
_ABOUT = {
    "Description": "Participants with scans in this dataset, as the raw dataset describes them",
    _KEY: {"Description": "Participant"},
}


def write_participants(dataset: Path, participants: Iterable[str]) -> None:
    """Write the table with one row for each participant (``sub-01``), and a JSON file with the meaning of its columns.

    Parameters
    ----------
    dataset
        Derivative dataset; its ``dataset_description.json`` says where the raw one is.
    participants
        With ``sub-``, in any order.
    """
    wanted = sorted({participant for participant in participants if participant})
    if not wanted:
        return
    raw = _raw_folder(dataset)
    copied = _known(raw / NAME) if raw else {}
    known = copied or _known(dataset / NAME)
    columns = list(next(iter(known.values()), {_KEY: ""}))
    rows = ({**known.get(participant, {}), _KEY: participant} for participant in wanted)
    write_text(dataset / NAME, format_tsv(rows, columns))
    folder = raw if raw and copied else dataset
    write_json(dataset / MEANING_NAME, {**_ABOUT, **known_mapping(folder / MEANING_NAME)})


def _known(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a table by participant; none if it cannot be used."""
    try:
        rows = read_tsv(path, required=(_KEY,))
    except InputError:
        return {}
    return {f"sub-{row[_KEY].removeprefix('sub-')}": {_KEY: "", **row} for row in reversed(rows) if row[_KEY]}


def _raw_folder(dataset: Path) -> Path | None:
    """Return the folder of the raw dataset; ``None`` if it is unknown or not there."""
    links: Any = known_mapping(dataset / "dataset_description.json").get("DatasetLinks")
    place: Any = cast(dict[str, Any], links).get("raw") if isinstance(links, dict) else None
    folder = dataset / place if isinstance(place, str) else None
    return folder if folder and folder.is_dir() else None
