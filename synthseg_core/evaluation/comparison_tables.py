"""Comparisons as tables: one row a structure, scan and model; summaries; tests between models; what they mean."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from synthseg_core.errors import Failure
from synthseg_core.evaluation.results import MEAN, Measure, Results
from synthseg_core.evaluation.statistics import Alternative, PairedTest, Summary, paired_tests, summarise
from synthseg_core.system.atomic import write_json, write_text
from synthseg_core.system.tables import format_tsv

LONG_NAME, SUMMARY_NAME, TESTS_NAME, FAILURES_NAME, FACTS_NAME = (
    "evaluation.tsv",
    "summary.tsv",
    "tests.tsv",
    "failures.tsv",
    "evaluation.json",
)
_KEYS = {
    "model": "Name of what made the segmentation",
    "scan": "Name of the scan",
    "structure": "Name of the structure, or of a group of structures",
    "labels": "Values in the label maps, added up if there are several",
}
_REMARK = {"remark": "Which of the two label maps lacks the structure; n/a if neither does"}
_TEST_COLUMNS = {
    "first": "Model",
    "second": "Model it is compared with",
    "measure": "What is compared",
    "structure": "Name of the structure; the last row of a measure is the mean over structures, not corrected",
    "scans": "Scans for which both have a value",
    "median_difference": "First minus second, in the unit of the measure",
    "p": "Wilcoxon signed-rank test; n/a for fewer than six scans or without differences",
    "p_corrected": "Corrected over the structures of the measure after Holm",
    "effect_size": "Cohen's d: difference of means over the pooled standard deviation",
}
# Digits of a mm3 or a percent that nothing measures are left out.
_DIGITS = 6


def write_tables(folder: Path, results: Results, facts: Mapping[str, Any], alternative: Alternative | None) -> None:
    """Write all tables; those without rows are not left over from an earlier run.

    Parameters
    ----------
    folder
        Where they go.
    results
        Of all pairs.
    facts
        Options and sources, for the sidecar.
    alternative
        Of the tests; ``None``: no tests.
    """
    columns = {**_KEYS, **{m.column: _described(m) for m in results.measures}, **_REMARK}
    write_text(folder / LONG_NAME, format_tsv(long_rows(results), tuple(columns)))
    summary_columns = ("model", "measure", "structure", *(one.name for one in fields(Summary)))
    write_text(folder / SUMMARY_NAME, format_tsv(summary_rows(results), summary_columns))
    tests = list(rows_of_tests(results, alternative)) if alternative else []
    _write_or_remove(folder / TESTS_NAME, tests, tuple(_TEST_COLUMNS))
    failures = [vars(failure) for failure in results.failures]
    _write_or_remove(folder / FAILURES_NAME, failures, tuple(one.name for one in fields(Failure)))
    described = {LONG_NAME: columns, TESTS_NAME: _TEST_COLUMNS} if tests else {LONG_NAME: columns}
    write_json(folder / FACTS_NAME, {**facts, "columns": described})


def long_rows(results: Results) -> Iterator[dict[str, object]]:
    """Return one row for each structure of each scan and model."""
    for one in results.compared:
        for agreement in one.agreements:
            yield {
                "model": one.pair.model,
                "scan": one.pair.scan,
                "structure": agreement.structure.name,
                "labels": " ".join(map(str, agreement.structure.labels)),
                **{measure.column: _rounded(measure.value(agreement)) for measure in results.measures},
                "remark": agreement.remark or None,
            }


def summary_rows(results: Results) -> Iterator[dict[str, object]]:
    """Return mean, spread and quartiles of each measure by model and structure; the last one is their mean."""
    for model, measure in itertools.product(results.models, results.measures):
        for structure, values in results.values(model, measure).items():
            summary = {name: _rounded(value) for name, value in asdict(summarise(values)).items()}
            yield {"model": model, "measure": measure.column, "structure": structure, **summary}


def rows_of_tests(results: Results, alternative: Alternative) -> Iterator[dict[str, object]]:
    """Return the tests between each two models."""
    compared = [measure for measure in results.measures if measure.compared]
    for first, second in itertools.combinations(results.models, 2):
        for measure in compared:
            for structure, test in tests_between(results, first, second, measure, alternative).items():
                cells = {name: _rounded(value) for name, value in asdict(test).items()}
                yield {"first": first, "second": second, "measure": measure.column, "structure": structure, **cells}


def tests_between(
    results: Results, first: str, second: str, measure: Measure, alternative: Alternative
) -> dict[str, PairedTest]:
    """Return the tests of one measure: by structure, corrected for their number, and last of the mean, by itself.

    Parameters
    ----------
    results
        Of all pairs.
    first, second
        Models.
    measure
        What is compared.
    alternative
        Of the tests.
    """
    ours, theirs = dict(results.values(first, measure)), dict(results.values(second, measure))
    means = {MEAN: ours.pop(MEAN)}, {MEAN: theirs.pop(MEAN)}
    return paired_tests(ours, theirs, alternative) | paired_tests(*means, alternative)


def _write_or_remove(path: Path, rows: list[Any], columns: tuple[str, ...]) -> None:
    if rows:
        write_text(path, format_tsv(rows, columns))
    else:
        path.unlink(missing_ok=True)


def _described(measure: Measure) -> str:
    return f"{measure.description} ({measure.unit})" if measure.unit else measure.description


def _rounded(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
