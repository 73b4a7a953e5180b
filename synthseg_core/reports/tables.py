"""The group tables of scans and of quality scores, and what all group tables begin with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import pandas as pd

from synthseg_core.bids.names import BidsName, parse_stem
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.reports.gathering import GroupTables, ScanNumbers
from synthseg_core.reports.origins import GENERATED_BY_COLUMNS, summary_of_generators
from synthseg_core.reports.review import MARKS, Reviews
from synthseg_core.reports.statuses import ScanStatus

SCAN_COLUMNS: dict[str, dict[str, str]] = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session; n/a where the dataset has none"},
    "suffix": {"Description": "Kind of scan, for instance T1w"},
    "scan": {"Description": "First part of the paths of the scan's derivatives"},
}
_LEVELS = {
    "done": "everything that was asked for is there",
    "kept": "the scan cannot be used any more, and its results of an earlier run stay; see reason",
    "running": "being computed when the table was made",
    "failed": "could not be made; see stage and reason",
    "outdated": "made from another scan, model, segmentation or with other options than there are now; see reason",
    "missing": "not made yet, or ended without leaving a reason",
    "skipped": "not taken for a scan, a folder that cannot be searched, or not downloaded; see reason",
}
_STATUS_COLUMNS: dict[str, dict[str, Any]] = {
    **SCAN_COLUMNS,
    "path": {"Description": "The scan, relative to its dataset"},
    "status": {"Description": "What became of the scan", "Levels": _LEVELS},
    "stage": {"Description": "Stage that failed, runs, is out of date or missing"},
    "reason": {"Description": "Why the scan is not done"},
    "log": {"Description": "Log of that stage, or of the segmentation, relative to this dataset"},
    "warnings": {"Description": "Number of doubts about scan, weights and result"},
    "warning_text": {"Description": "These doubts, separated by semicolons"},
    **GENERATED_BY_COLUMNS,
}


@dataclass(frozen=True)
class Table:
    """One group table.

    Parameters
    ----------
    cells
        One row a line of the file; absent cells are missing values.
    columns
        Meaning of the columns, in the order of the file.
    generated_by
        What the numbers come from, with the number of scans.
    """

    cells: pd.DataFrame
    columns: Mapping[str, Mapping[str, Any]]
    generated_by: list[dict[str, Any]]


def scan_table(tables: GroupTables) -> Table:
    """Return one row an image: what became of it, why, and what is doubtful about its results."""
    levels = {status: text for status, text in _LEVELS.items() if status not in ("kept", "skipped")}
    # A stage with a name that a column has already would hide it.
    stages = {
        f"stage_{stage}": {"Description": f"Status of the stage {stage}", "Levels": levels} for stage in tables.stages
    }
    columns = {**_STATUS_COLUMNS, **stages}
    generators = (status.facts.generated_by for status in tables.statuses)
    made = summary_of_generators(generator for generator in generators if generator.model)
    return Table(text_frame(map(_status_cells, tables.statuses), columns), columns, made)


def quality_table(entries: Sequence[ScanNumbers], threshold: float) -> Table:
    """Return one row a scan: predicted overlap of groups of structures, with a flag that excludes nothing.

    Parameters
    ----------
    entries
        Scores of the scans that have them.
    threshold
        Scores below it are flagged.
    """
    meaning = "Dice coefficient with the true structures as a network predicts it, 0 to 1, 1 perfect"
    groups = dict.fromkeys(name for lines in dict.fromkeys(entry.lines for entry in entries) for (name,) in lines)
    columns = {
        **SCAN_COLUMNS,
        **GENERATED_BY_COLUMNS,
        **{column_name(name): {"Description": f"{name}: {meaning}"} for name in groups},
        "lowest": {"Description": "Lowest of these scores"},
        "flag": {
            "Description": "Whether to look at the scan; nothing is left out of any table because of it",
            "Levels": {"low": f"a score is below {threshold:g}", "ok": "none is"},
        },
        "low_groups": {"Description": f"Groups whose score is below {threshold:g}, separated by commas"},
    }
    rows = ({**scan_cells(entry), **_score_cells(entry, threshold)} for entry in entries)
    return Table(text_frame(rows, columns), columns, generators_of(entries))


def entities_of_scans(rows: Iterable[ScanRow]) -> dict[str, Mapping[str, str]]:
    """Return the entities in the name of each scan, by the first part of the paths of its derivatives."""
    return {row.scan: parse_stem(row.scan).entities for row in rows if row.scan}


def with_entities(table: Table, entities: Mapping[str, Mapping[str, str]]) -> Table:
    """Return a table with a last column for each entity that the names of some scans have, such as ``run`` and ``acq``.

    Parameters
    ----------
    table
        Has a column ``scan``.
    entities
        Of all scans of the dataset, by that column; participant and session have columns already.
    """
    known = {key: "" for one in entities.values() for key in one if key not in ("sub", "ses")}
    cells, columns = table.cells, dict(table.columns)
    for key in BidsName(known, "").entities:
        column = f"{key}_entity" if key in table.columns else key
        columns[column] = {"Description": f"Label after {key}- in the name of the scan; n/a where it has none"}
        labels = {scan: one[key] for scan, one in entities.items() if key in one}
        cells = cells.assign(**{column: cells["scan"].map(labels.get)})
    return replace(table, cells=cells, columns=columns)


def with_reviews(table: Table, reviews: Reviews) -> Table:
    """Return a table with last columns for what people thought of the scans; unchanged where nobody reviewed any.

    Parameters
    ----------
    table
        Has a column ``scan``.
    reviews
        Of the dataset.
    """
    if not reviews.by_name:
        return table
    columns = {
        **table.columns,
        "review": {"Description": "What a reader of the group page thought of the segmentation", "Levels": MARKS},
        "review_note": {"Description": "Note of that reader"},
    }
    found = table.cells["scan"].map(lambda stem: reviews.of(stem) if isinstance(stem, str) else None)
    cells = table.cells.assign(
        review=found.map(lambda one: (one and one.mark) or None),
        review_note=found.map(lambda one: (one and one.note) or None),
    )
    return replace(table, cells=cells, columns=columns)


def text_frame(rows: Iterable[Mapping[str, str | None]], columns: Iterable[str]) -> pd.DataFrame:
    """Return rows of text as a table; what a row lacks, and empty text, is a missing value."""
    cells = pd.DataFrame(list(rows), columns=list(columns), dtype=object)
    return cells.mask(cells == "")


def scan_cells(entry: ScanNumbers) -> dict[str, str]:
    """Return the cells that say which scan numbers are of, and what made them."""
    return {**_key_cells(entry.row), **asdict(entry.facts.generated_by)}


def generators_of(entries: Iterable[ScanNumbers]) -> list[dict[str, Any]]:
    """List what the numbers of scans come from."""
    return summary_of_generators(entry.facts.generated_by for entry in entries)


@cache
def column_name(name: str) -> str:
    """Return a name in lower case with underscores."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def _key_cells(row: ScanRow) -> dict[str, str]:
    return {column: getattr(row, column) for column in SCAN_COLUMNS}


def _status_cells(status: ScanStatus) -> dict[str, str]:
    facts = status.facts
    return {
        **_key_cells(status.row),
        "path": status.row.path,
        "status": status.status,
        "stage": status.stage,
        "reason": status.reason,
        "log": status.log,
        "warnings": str(len(facts.warnings)) if facts.generated_by.model or facts.warnings else "",
        "warning_text": "; ".join(facts.warnings),
        **asdict(facts.generated_by),
        **{f"stage_{stage}": one for stage, one in status.stages.items()},
    }


def _score_cells(entry: ScanNumbers, threshold: float) -> dict[str, str]:
    """Return the scores of one scan, with four decimals as in the scan's own table, and the flag."""
    (values,) = entry.columns
    scores = {name: score for (name,), score in zip(entry.lines, values, strict=True)}
    low = [name for name, score in scores.items() if not score >= threshold]
    return {
        **{column_name(name): f"{score:.4f}" for name, score in scores.items()},
        "lowest": f"{min(scores.values()):.4f}" if scores else "",
        "flag": "low" if low else "ok",
        "low_groups": ", ".join(low),
    }
