"""``participants.tsv`` of a derivative dataset: what the raw dataset says of them, as far as it can be read.

Sources in this order: the raw dataset; what an earlier run copied, as the raw dataset may be gone; the names alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from synthseg_core.atomic import write_bytes, write_text
from synthseg_core.errors import InputError
from synthseg_core.tables import format_tsv, read_tsv

NAME = "participants.tsv"
_KEY = "participant_id"


def write_participants(dataset: Path, participants: Iterable[str]) -> None:
    """Write the table with one row for each participant (``sub-01``), and copy the meaning of its columns.

    Parameters
    ----------
    dataset
        Derivative dataset; its ``dataset_description.json`` says where the raw one is.
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
    if raw and copied:
        _copy_meaning(raw, dataset)


def _known(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a table by participant; none if it cannot be used."""
    try:
        rows = read_tsv(path, required=(_KEY,))
    except InputError:
        return {}
    return {f"sub-{row[_KEY].removeprefix('sub-')}": {_KEY: "", **row} for row in reversed(rows) if row[_KEY]}


def _raw_folder(dataset: Path) -> Path | None:
    """Return the folder of the raw dataset; ``None`` if it is unknown or not there."""
    try:
        content: Any = json.loads((dataset / "dataset_description.json").read_text(encoding="utf-8"))
        folder = dataset / str(content["DatasetLinks"]["raw"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder if folder.is_dir() else None


def _copy_meaning(raw: Path, dataset: Path) -> None:
    """Copy ``participants.json`` if it is JSON."""
    try:
        content = raw.joinpath("participants.json").read_bytes()
        json.loads(content)
    except (OSError, ValueError):
        return
    write_bytes(dataset / "participants.json", content)
