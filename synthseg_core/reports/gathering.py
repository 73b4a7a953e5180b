"""Look at the derivatives and logs of every scan and keep what the group tables need, in little memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from synthseg_core.bids.names import derivative
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.errors import InputError
from synthseg_core.reports.origins import Maker, Origin, read_origin
from synthseg_core.reports.statuses import STATUSES, ScanStatus, StageStatus, examine, overall
from synthseg_core.reports.volumes import Sizes, SizesReader
from synthseg_core.system.tables import read_tsv

# Stage -> table of volumes, sidecar that says what made it, and segmentation in the names of group tables.
_VOLUMES = {
    "segment": ("volumes", "sidecar", "synthseg"),
    "parcellate": ("parcel_volumes", "parcels_sidecar", "synthsegparc"),
}
_T = TypeVar("_T")


@dataclass(frozen=True)
class OfScan(Generic[_T]):
    """Numbers of one scan with what made them."""

    row: ScanRow
    maker: Maker
    numbers: _T


@dataclass(frozen=True)
class Scores:
    """Predicted Dice of groups of structures, by name, in the order of the table."""

    names: tuple[str, ...]
    values: array[float]


@dataclass
class GroupTables:
    """Everything that the group level knows.

    Parameters
    ----------
    stages
        That were asked for.
    statuses, origins
        One entry a scan.
    volumes
        By segmentation, of the scans that have them.
    scores
        Of the scans that have them.
    """

    stages: tuple[str, ...]
    statuses: list[ScanStatus] = field(default_factory=list[ScanStatus])
    origins: list[Origin] = field(default_factory=list[Origin])
    volumes: dict[str, list[OfScan[Sizes]]] = field(default_factory=dict[str, "list[OfScan[Sizes]]"])
    scores: list[OfScan[Scores]] = field(default_factory=list["OfScan[Scores]"])

    def counts(self) -> dict[str, int]:
        """Return how many scans have each status, in the order of ``STATUSES``, without zeros."""
        counter = Counter(status.status for status in self.statuses)
        return {status: counter[status] for status in STATUSES if counter[status]}

    @property
    def doubtful(self) -> int:
        """Number of scans with warnings."""
        return sum(bool(origin.warnings) for origin in self.origins)


def gather(rows: Iterable[ScanRow], dataset: Path, stages: Sequence[str] = ("segment",)) -> GroupTables:
    """Look at every scan; the scans themselves need not be there.

    Parameters
    ----------
    stages
        That were asked for, in the order in which they run.
    """
    tables = GroupTables(tuple(stages), volumes={_VOLUMES[stage][2]: [] for stage in stages if stage in _VOLUMES})
    gatherer = _Gatherer(dataset, tables)
    for row in rows:
        gatherer.add(row)
    return tables


class _Gatherer:
    """Adds scans to tables one by one."""

    def __init__(self, dataset: Path, tables: GroupTables) -> None:
        self._dataset, self._tables = dataset, tables
        self._reader = SizesReader()
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def add(self, row: ScanRow) -> None:
        found = [] if row.problem else examine(row, self._dataset, self._tables.stages)
        origins = dict[str, Origin]()
        for place, one in enumerate(found):
            if one.status == "done":
                found[place] = self._take(row, one, origins)
        self._tables.statuses.append(overall(row, found))
        warnings = dict.fromkeys(text for origin in origins.values() for text in origin.warnings)
        maker = origins["segment"].maker if "segment" in origins else Maker()
        self._tables.origins.append(Origin(maker, tuple(warnings)))

    def _take(self, row: ScanRow, one: StageStatus, origins: dict[str, Origin]) -> StageStatus:
        """Read the numbers of a stage that is done; tables that cannot be read make it a failure."""
        try:
            if one.stage in _VOLUMES:
                table, sidecar, segmentation = _VOLUMES[one.stage]
                sizes = self._reader.read(self._path(row, table))
                origins[one.stage] = read_origin(self._path(row, sidecar))
                self._tables.volumes[segmentation].append(OfScan(row, origins[one.stage].maker, sizes))
            elif one.stage == "qc":
                self._tables.scores.append(self._scores(row))
        except InputError as error:
            return replace(one, status="failed", reason=f"unusable {_word(one.stage)}: {error}")
        return one

    def _scores(self, row: ScanRow) -> OfScan[Scores]:
        path = self._path(row, "scores")
        rows = read_tsv(path, required=("name", "score"))
        try:
            values = array("d", [float(line["score"]) for line in rows])
        except ValueError as error:
            raise InputError(path, found=str(error), expected="scores", remedy="make it again") from error
        names = tuple(line["name"] for line in rows)
        maker = read_origin(self._path(row, "scores_sidecar")).maker
        return OfScan(row, maker, Scores(self._names.setdefault(names, names), values))

    def _path(self, row: ScanRow, product: str) -> Path:
        return self._dataset / derivative(row.scan, product)


def _word(stage: str) -> str:
    return "scores" if stage == "qc" else "volumes"
