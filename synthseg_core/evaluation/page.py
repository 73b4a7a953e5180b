"""Comparisons as a page that opens from disk: what was compared, how well, box plots, tests, what failed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from synthseg_core.evaluation.box_plots import box_plot, svg
from synthseg_core.evaluation.comparison_tables import tests_between
from synthseg_core.evaluation.results import MEAN, Measure, Results
from synthseg_core.evaluation.statistics import Alternative, summarise
from synthseg_core.images.figures import png
from synthseg_core.system.atomic import write_bytes, write_text
from synthseg_core.system.pages import page_template

PAGE_NAME, FIGURES = "evaluation.html", "figures"
_DOTS_PER_INCH = 150


def write_page(folder: Path, results: Results, facts: Mapping[str, Any], alternative: Alternative | None) -> Path:
    """Write ``evaluation.html`` and its box plots, as SVG and PNG files in ``figures/``; the page holds the SVG itself.

    Parameters
    ----------
    folder
        Where they go; the tables lie there too.
    results
        Of all pairs.
    facts
        Options and sources.
    alternative
        Of the tests; ``None``: no tests.
    """
    template = require_page()
    figures = folder / FIGURES
    figures.mkdir(parents=True, exist_ok=True)
    compared = [measure for measure in results.measures if measure.compared]
    sections = []
    for measure in compared:
        figure = box_plot(results, measure)
        drawn = svg(figure)
        write_text(figures / f"{measure.column}.svg", drawn)
        write_bytes(figures / f"{measure.column}.png", png(figure, _DOTS_PER_INCH))
        sections.append({"measure": measure, "plot": drawn[drawn.index("<svg") :], "rows": _rows(results, measure)})
    content = {
        "facts": facts,
        "models": results.models,
        "mean": MEAN,
        "sections": sections,
        "tests": _tests(results, compared, alternative) if alternative else [],
        "failures": results.failures,
        "absent": _absent(results),
    }
    write_text(folder / PAGE_NAME, template.render(content))
    return folder / PAGE_NAME


def require_page() -> Any:
    """Return what the page is filled in from; ``UsageError`` where its package is missing."""
    return page_template(PAGE_NAME, "add --no-page")


def _rows(results: Results, measure: Measure) -> list[dict[str, Any]]:
    """Return the summaries of a measure, a row for each structure with a cell for each model."""
    values = {model: results.values(model, measure) for model in results.models}
    return [
        {"structure": name, "cells": [summarise(values[model][name]) for model in results.models]}
        for name in (*results.structures, MEAN)
    ]


def _tests(results: Results, measures: list[Measure], alternative: Alternative) -> list[dict[str, Any]]:
    pairs = combinations(results.models, 2)
    return [
        {"first": a, "second": b, "measure": measure, "rows": tests_between(results, a, b, measure, alternative)}
        for a, b in pairs
        for measure in measures
    ]


def _absent(results: Results) -> list[dict[str, str]]:
    """Return structures that one side lacks; those that both lack are no finding."""
    return [
        {"model": one.pair.model, "scan": one.pair.scan, "structure": a.structure.name, "remark": a.remark}
        for one in results.compared
        for a in one.agreements
        if a.remark and (a.reference_mm3 or a.segmentation_mm3)
    ]
