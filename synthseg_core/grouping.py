"""Group tables: what happened to every scan and the volumes of all of them, from derivatives and logs alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from synthseg_core.atomic import write_json, write_text
from synthseg_core.bids import derivative, products_of
from synthseg_core.description import VOLUME_COLUMNS
from synthseg_core.errors import InputError
from synthseg_core.scans import ScanRow
from synthseg_core.tables import format_tsv, read_tsv

STATUSES = ("done", "failed", "missing", "skipped")
SCANS_NAME = "group_scans"
WIDE_NAME = "group_seg-synthseg_volumes"
LONG_NAME = "group_seg-synthseg_desc-long_volumes"
STAGE = "segment"

# A scan with the rows of its table of volumes.
ScanVolumes: TypeAlias = tuple[ScanRow, list[dict[str, str]]]

_KEYS = ("participant_id", "session_id", "suffix", "scan")
_KEY_COLUMNS = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session; n/a where the dataset has none"},
    "suffix": {"Description": "Kind of scan, for instance T1w"},
    "scan": {"Description": "First part of the paths of the scan's derivatives"},
}
_STATUS_COLUMNS = {
    **_KEY_COLUMNS,
    "path": {"Description": "The scan, relative to its dataset"},
    "status": {
        "Description": "What became of the scan",
        "Levels": {
            "done": "segmented",
            "failed": "could not be segmented; see reason",
            "missing": "not segmented yet, or ended without leaving a reason",
            "skipped": "not taken for a scan; see reason",
        },
    },
    "reason": {"Description": "Why the scan is not done"},
    "log": {"Description": "Log of the segmentation, relative to this dataset"},
}


@dataclass(frozen=True)
class ScanStatus:
    """What became of a scan.

    Parameters
    ----------
    row
        Of the scan table.
    status
        One of ``STATUSES``.
    reason
        Why it is not done; empty if it is.
    log
        Readable log, relative to the dataset; empty if there is none.
    recorded
        Whether the reason was left by the job itself, as a known error.
    """

    row: ScanRow
    status: str
    reason: str = ""
    log: str = ""
    recorded: bool = False


@dataclass(frozen=True)
class GroupTables:
    """Everything that the group level knows, one entry a scan."""

    statuses: tuple[ScanStatus, ...]
    volumes: tuple[ScanVolumes, ...]

    def counts(self) -> dict[str, int]:
        """Return how many scans have each status, in the order of ``STATUSES``, without zeros."""
        counter = Counter(status.status for status in self.statuses)
        return {status: counter[status] for status in STATUSES if counter[status]}


def gather(rows: Iterable[ScanRow], dataset: Path) -> GroupTables:
    """Look at the derivatives and logs of every scan; the scans themselves need not be there."""
    statuses: list[ScanStatus] = []
    volumes: list[ScanVolumes] = []
    for row in rows:
        status, table = _examine(row, dataset)
        statuses.append(status)
        if table:
            volumes.append((row, table))
    return GroupTables(tuple(statuses), tuple(volumes))


def write_group_tables(tables: GroupTables, folder: Path) -> None:
    """Write the tables and, beside each, a JSON file that explains its columns."""
    wide, structures = _wide(tables.volumes)
    texts = {
        SCANS_NAME: (format_tsv(map(_status_cells, tables.statuses), tuple(_STATUS_COLUMNS)), _STATUS_COLUMNS),
        WIDE_NAME: (format_tsv(wide, (*_KEYS, *structures)), {**_KEY_COLUMNS, **structures}),
        LONG_NAME: (
            format_tsv(_long(tables.volumes), (*_KEYS, *VOLUME_COLUMNS)),
            {**_KEY_COLUMNS, **VOLUME_COLUMNS},
        ),
    }
    for name, (text, columns) in texts.items():
        write_text(folder / f"{name}.tsv", text)
        write_json(folder / f"{name}.json", columns)


def _examine(row: ScanRow, dataset: Path) -> tuple[ScanStatus, list[dict[str, str]]]:
    if row.problem:
        return ScanStatus(row, "failed" if row.scan else "skipped", row.problem), []
    log = f"logs/{STAGE}/{row.scan}.log"
    log = log if (dataset / log).is_file() else ""
    if not all((dataset / derivative(row.scan, product)).is_file() for product in products_of(STAGE)):
        return _unfinished(row, dataset, log), []
    try:
        table = read_tsv(dataset / derivative(row.scan, "volumes"), required=tuple(VOLUME_COLUMNS))
    except InputError as error:
        return ScanStatus(row, "failed", f"unusable volumes: {error}", log), []
    return ScanStatus(row, "done", log=log), table


def _unfinished(row: ScanRow, dataset: Path, log: str) -> ScanStatus:
    record = _last_record(dataset / "logs" / STAGE / f"{row.scan}.json")
    if record:
        return ScanStatus(row, "failed", _reason_text(record), log, recorded="found" in record)
    return ScanStatus(row, "missing", _guess(dataset / log) if log else "not run yet", log)


def _guess(log: Path) -> str:
    """Say what can be said of a job that left no record: it was killed, interrupted, or met an unknown error."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")
    return f"ended without giving a reason; {f'its log ends with: {last}' if last else 'perhaps killed'}"


def _last_record(path: Path) -> dict[str, Any]:
    """Return the last JSON line of a file; empty if there is none."""
    if not path.is_file():
        return {}
    for line in reversed(path.read_text(encoding="utf-8", errors="replace").splitlines()):
        try:
            record: Any = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict):
            return cast(dict[str, Any], record)
    return {}


def _reason_text(record: Mapping[str, Any]) -> str:
    """Put a recorded error in one line."""
    if {"found", "expected", "remedy"} <= record.keys():
        text = f"found {record['found']}; expected {record['expected']}; {record['remedy']}"
    else:
        text = str(record.get("message", ""))
    return " ".join(f"{record.get('error', 'error')}: {text}".split())


def _status_cells(status: ScanStatus) -> dict[str, str | None]:
    cells = {"path": status.row.path, "status": status.status, "reason": status.reason, "log": status.log}
    return {key: value or None for key, value in {**_key_cells(status.row), **cells}.items()}


def _key_cells(row: ScanRow) -> dict[str, str | None]:
    return {key: getattr(row, key) or None for key in _KEYS}


def _long(volumes: Sequence[ScanVolumes]) -> Iterable[dict[str, str | None]]:
    for row, table in volumes:
        for structure in table:
            yield {**_key_cells(row), **{column: structure[column] for column in VOLUME_COLUMNS}}


def _wide(volumes: Sequence[ScanVolumes]) -> tuple[list[dict[str, str | None]], dict[str, dict[str, str]]]:
    """Return one row a scan with the soft volume of each structure, and the columns that explain them."""
    names: dict[tuple[str, str], str] = {}
    columns: dict[str, dict[str, str]] = {}
    rows: list[dict[str, str | None]] = []
    for row, table in volumes:
        cells = _key_cells(row)
        for structure in table:
            key = structure["index"], structure["name"]
            if key not in names:
                names[key] = _column_name(*key, taken=columns)
                columns[names[key]] = {"Description": f"Soft volume of {key[1]}", "Units": "mm^3"}
            cells[names[key]] = structure["soft_volume_mm3"]
        rows.append(cells)
    return rows, columns


def _column_name(index: str, name: str, taken: Mapping[str, object]) -> str:
    word = re.sub(r"\W+", "_", name.lower()).strip("_")
    return f"{word}_mm3" if f"{word}_mm3" not in taken else f"{word}_{index}_mm3"
