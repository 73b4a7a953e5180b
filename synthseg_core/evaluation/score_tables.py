"""Validation results as files: a table of every structure of every scan, and a summary for programs and model cards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from synthseg_core.evaluation.validation import CaseScore, Scores
from synthseg_core.labels.table import LabelTable
from synthseg_core.system.atomic import write_json, write_text
from synthseg_core.system.tables import format_tsv

COLUMNS = ("set", "case", "label", "name", "dice", "predicted_voxels", "true_voxels")
TABLE_NAME, SUMMARY_NAME = "validation.tsv", "validation.json"


def write_report(folder: Path, sets: Mapping[str, Scores], table: LabelTable, facts: Mapping[str, Any]) -> None:
    """Write table and summary.

    Parameters
    ----------
    folder
        Where ``validation.tsv`` and ``validation.json`` go.
    sets
        Scores by name of the set of scans.
    table
        Labels of the model, for the names of structures.
    facts
        About model, options and scans; the summary starts with them.
    """
    rows = (row for name, scores in sets.items() for case in scores.cases for row in _rows(name, case, table))
    write_text(folder / TABLE_NAME, format_tsv(rows, COLUMNS))
    write_json(folder / SUMMARY_NAME, {**facts, **{name: summary(scores, table) for name, scores in sets.items()}})


def summary(scores: Scores, table: LabelTable) -> dict[str, Any]:
    """Return the means of a set of scans as plain values; absent ones are ``None``."""
    return {
        "score": _rounded(scores.score),
        "scans": len(scores.cases),
        "structures": {_name(table, label): _rounded(dice) for label, dice in scores.dice_by_label.items()},
        "cases": {case.case: _rounded(case.score) for case in scores.cases},
    }


def _rows(name: str, case: CaseScore, table: LabelTable) -> Iterable[dict[str, object]]:
    counts = case.counts
    for index, label in enumerate(counts.labels):
        yield {
            "set": name,
            "case": case.case,
            "label": label,
            "name": _name(table, label),
            "dice": _rounded(float(case.dice[index]), 6),
            "predicted_voxels": int(counts.first[index]),
            "true_voxels": int(counts.second[index]),
        }


def _name(table: LabelTable, label: int) -> str:
    return table.names[table.channel_of(label)]


def _rounded(value: float, digits: int = 4) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
