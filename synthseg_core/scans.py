"""The scan table: one row an image, made once by discovery and read by everything that comes after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from synthseg_core.atomic import write_text
from synthseg_core.bids import parse_stem
from synthseg_core.discovery import Candidate, Search, discover
from synthseg_core.errors import InputError
from synthseg_core.tables import format_tsv, read_tsv

ABSENT = "n/a"


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
        Of the image, relative to the dataset.
    source
        Of the image, absolute.
    problem
        Why the image cannot be segmented; empty for usable scans.
    """

    scan: str
    participant_id: str
    session_id: str
    suffix: str
    path: str
    source: str
    problem: str = ""

    @property
    def usable(self) -> bool:
        """Whether the scan can be given to the workflow."""
        return not self.problem


COLUMNS = tuple(field.name for field in fields(ScanRow))


def find_scans(root: Path, search: Search) -> tuple[ScanRow, ...]:
    """Discover the scans of a dataset."""
    return tuple(_row(candidate, root.absolute()) for candidate in discover(root, search))


def write_table(path: Path, rows: Iterable[ScanRow]) -> None:
    """Write the table atomically; a file that says the same already is left alone."""
    cells = ({key: value or None for key, value in asdict(row).items()} for row in rows)
    text = format_tsv(cells, COLUMNS)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def read_table(path: Path) -> tuple[ScanRow, ...]:
    """Read a table.

    Raises
    ------
    InputError
        If columns are missing, a stem is not one, or two usable scans share it.
    """
    table = read_tsv(path, required=COLUMNS)
    rows = tuple(ScanRow(**{key: "" if row[key] == ABSENT else row[key] for key in COLUMNS}) for row in table)
    for row in rows:
        _check(row, path)
    repeated = [stem for stem, count in Counter(row.scan for row in rows if row.usable).items() if count > 1]
    if repeated:
        raise InputError(
            path, found=f"{', '.join(repeated)} more than once", expected="each scan once", remedy="remove the copies"
        )
    return rows


def select(
    rows: Iterable[ScanRow], participants: Collection[str] = (), sessions: Collection[str] = ()
) -> tuple[ScanRow, ...]:
    """Return the rows of the given labels (without ``sub-``, ``ses-``); no labels: all of them."""
    return tuple(
        row
        for row in rows
        if (not participants or row.participant_id.removeprefix("sub-") in participants)
        and (not sessions or row.session_id.removeprefix("ses-") in sessions)
    )


def _row(candidate: Candidate, root: Path) -> ScanRow:
    name = candidate.name
    entities: Mapping[str, str] = name.entities if name else {}
    return ScanRow(
        scan=name.stem if name else "",
        participant_id=f"sub-{entities['sub']}" if name else "",
        session_id=f"ses-{entities['ses']}" if "ses" in entities else "",
        suffix=name.suffix if name else "",
        path=candidate.path,
        source=str(root / candidate.path),
        problem=candidate.problem,
    )


def _check(row: ScanRow, path: Path) -> None:
    if row.scan:
        parse_stem(row.scan)
    if row.usable and not (row.scan and Path(row.source).is_absolute()):
        raise InputError(
            path,
            found=f"no stem or no absolute source for {row.path}",
            expected="both, or a problem that says why the scan is left out",
            remedy="delete the table; it is made again from the dataset",
        )
