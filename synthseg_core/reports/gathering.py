"""Look at the derivatives and logs of every scan, and keep what the group tables need, in little memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TypeAlias

from synthseg_core.bids.names import derivative
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.errors import InputError
from synthseg_core.reports.origins import GeneratedBy, SidecarFacts, read_sidecar
from synthseg_core.reports.statuses import STATUSES, Present, ScanStatus, StageStatus, examine, overall
from synthseg_core.system.tables import ABSENT, read_tsv

Lines: TypeAlias = tuple[tuple[str, ...], ...]
"""Text cells of each line of a scan's table."""


@dataclass(frozen=True)
class StageTable:
    """The table of numbers that a stage leaves for each scan.

    Parameters
    ----------
    table, sidecar
        Keys in ``PRODUCTS``: the table, and what says how it was made.
    texts, numbers
        Columns that are read.
    number
        Turns a cell into a number.
    word, expected
        What the numbers are, in messages.
    """

    table: str
    sidecar: str
    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    number: Callable[[str], float]
    word: str
    expected: str


@dataclass(frozen=True)
class ScanNumbers:
    """Numbers of one scan, from the table of one stage.

    Parameters
    ----------
    row
        Of the scan table.
    facts
        From the sidecar.
    lines
        Text cells of each line; scans with the same ones share them.
    columns
        The numbers, an array a column; NaN where one was not measured.
    """

    row: ScanRow
    facts: SidecarFacts
    lines: Lines
    columns: tuple[array[float], ...]


@dataclass(frozen=True)
class GroupTables:
    """Everything that the group level knows.

    Parameters
    ----------
    stages
        That were asked for.
    statuses
        One entry a scan.
    numbers
        By stage that has a table of numbers, of the scans that have it.
    """

    stages: tuple[str, ...]
    statuses: list[ScanStatus]
    numbers: dict[str, list[ScanNumbers]]

    def counts(self) -> dict[str, int]:
        """Return how many scans have each status, in the order of ``STATUSES``, without zeros."""
        counter = Counter(status.status for status in self.statuses)
        return {status: counter[status] for status in STATUSES if counter[status]}

    @property
    def doubtful(self) -> int:
        """Number of scans with warnings."""
        return sum(bool(status.facts.warnings) for status in self.statuses)


def gather(
    rows: Iterable[ScanRow],
    dataset: Path,
    stages: Sequence[str] = ("segment",),
    *,
    asked: Sequence[str] | None = None,
    present: Present | None = None,
) -> GroupTables:
    """Look at every scan; the scans themselves need not be there.

    Parameters
    ----------
    rows
        The scan table.
    dataset
        Derivative dataset.
    stages
        That are gathered, in the order in which they run.
    asked
        Those of them that a scan has to have to be done; ``None``: all.
    present
        What is known of the scans beside their results.
    """
    rows = list(rows)
    tables = GroupTables(tuple(stages), [], {stage: [] for stage in stages if stage in _STAGE_TABLES})
    shared: dict[Lines, Lines] = {}
    owners = _owners(rows, dataset)
    for row in rows:
        looked_at = examine(row, dataset, stages, present) if owners.get(row.scan) is row else []
        read = [_read_stage(row, dataset, one) for one in looked_at]
        numbers = {one.stage: found for one, found in read if found}
        status = _status(row, [one for one, _ in read], numbers, asked or stages)
        tables.statuses.append(status)
        if row.problem and status.status != "kept":
            continue
        for stage, found in numbers.items():
            tables.numbers[stage].append(replace(found, lines=shared.setdefault(found.lines, found.lines)))
    return tables


def _owners(rows: Sequence[ScanRow], dataset: Path) -> dict[str, ScanRow]:
    """Return whose results those under a name are: where files claim the same name, of the one that was segmented."""
    owners: dict[str, ScanRow] = {}
    for row in rows:
        known = owners.get(row.scan)
        if row.scan and (known is None or (row.usable and not known.usable) or _was_segmented(row, known, dataset)):
            owners[row.scan] = row
    return owners


def _was_segmented(row: ScanRow, other: ScanRow, dataset: Path) -> bool:
    """Say whether results name a file and not another that claims their name."""
    name = read_sidecar(dataset / derivative(row.scan, "sidecar")).scan_file
    return name == PurePath(row.path).name != PurePath(other.path).name


def _status(
    row: ScanRow, found: Sequence[StageStatus], numbers: Mapping[str, ScanNumbers], asked: Sequence[str]
) -> ScanStatus:
    """Sum up a scan by the stages that were asked for, and note the others too."""
    status = overall(row, [one for one in found if one.stage in asked], _facts_of_scan(numbers))
    return replace(status, stages={one.stage: one.status for one in found}) if status.stages else status


def _volume(text: str) -> float:
    return float("nan") if text == ABSENT else float(text)


_VOLUME_COLUMNS = (("index", "name", "hemisphere"), ("soft_volume_mm3", "hard_volume_mm3"))
_VOLUME_WORDS = (_volume, "volumes", "volumes in mm^3")
_STAGE_TABLES = {
    "segment": StageTable("volumes", "sidecar", *_VOLUME_COLUMNS, *_VOLUME_WORDS),
    "parcellate": StageTable("parcel_volumes", "parcels_sidecar", *_VOLUME_COLUMNS, *_VOLUME_WORDS),
    "qc": StageTable("scores", "scores_sidecar", ("name",), ("score",), float, "scores", "scores"),
}


def _read_stage(row: ScanRow, dataset: Path, one: StageStatus) -> tuple[StageStatus, ScanNumbers | None]:
    """Read the numbers of a stage that is done; a table that cannot be read makes it a failure.

    A table without the images beside it counts, as long as the sidecar is there: images may be dropped to save space.
    """
    table = _STAGE_TABLES.get(one.stage)
    if table is None or one.status not in ("done", "missing"):
        return one, None
    parts = [dataset / derivative(row.scan, name) for name in (table.table, table.sidecar)]
    if one.status == "missing" and not all(path.is_file() for path in parts):
        return one, None
    try:
        lines, columns = _read_table(parts[0], table)
    except InputError as error:
        return replace(one, status="failed", reason=f"unusable {table.word}: {error}"), None
    return one, ScanNumbers(row, read_sidecar(parts[1], one.stage), lines, columns)


def _read_table(path: Path, table: StageTable) -> tuple[Lines, tuple[array[float], ...]]:
    rows = read_tsv(path, required=(*table.texts, *table.numbers))
    try:
        columns = tuple(array("d", [table.number(row[column]) for row in rows]) for column in table.numbers)
    except ValueError as error:
        raise InputError(path, found=str(error), expected=table.expected, remedy="make it again") from error
    return tuple(tuple(row[column] for column in table.texts) for row in rows), columns


def _facts_of_scan(numbers: Mapping[str, ScanNumbers]) -> SidecarFacts:
    """Return what made the segmentation of a scan, and the warnings about it and its parcels."""
    generated_by = numbers["segment"].facts.generated_by if "segment" in numbers else GeneratedBy()
    of_maps = (found.facts for stage, found in numbers.items() if stage != "qc")
    return SidecarFacts(generated_by, tuple(dict.fromkeys(text for facts in of_maps for text in facts.warnings)))
