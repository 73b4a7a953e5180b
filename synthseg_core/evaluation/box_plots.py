"""Box plots of a measure: a box for each structure and model, a point for each scan."""

from __future__ import annotations

import math
from io import StringIO
from typing import Any

import numpy as np

from synthseg_core.evaluation.results import MEAN, Measure, Results
from synthseg_core.images.figures import new_figure

# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_ROW_INCHES, _WIDTH_INCHES, _MARGIN_INCHES = 0.2, 8.0, 1.2
_POINT_AREA, _JITTER_SEED = 5.0, 0


def box_plot(results: Results, measure: Measure) -> Any:
    """Return a figure with one row a structure, and in it one box a model.

    Boxes span the quartiles, lines reach to the last scan within one and a half of their width, points are scans.

    Parameters
    ----------
    results
        Of all pairs.
    measure
        What is drawn.
    """
    models, structures = results.models, (*results.structures, MEAN)
    rows = len(structures) * len(models)
    figure = new_figure(_WIDTH_INCHES, rows * _ROW_INCHES + _MARGIN_INCHES, black=False, arranged=True)
    panel = figure.subplots()
    jitter = np.random.default_rng(_JITTER_SEED)
    for number, model in enumerate(models):
        colour = COLOURS[number % len(COLOURS)]
        values = results.values(model, measure)
        places = [row * (len(models) + 1) + number for row in range(len(structures))]
        finite = [[value for value in values[name] if math.isfinite(value)] for name in structures]
        style = {"color": colour}
        panel.boxplot(
            finite, positions=places, widths=0.7, orientation="horizontal", showfliers=False, manage_ticks=False,
            boxprops=style, whiskerprops=style, capprops=style, medianprops={"color": colour, "linewidth": 2},
        )  # fmt: skip
        for place, scans in zip(places, finite, strict=True):
            spread = place + jitter.uniform(-0.2, 0.2, len(scans))
            panel.scatter(scans, spread, s=_POINT_AREA, color=colour, alpha=0.6, linewidths=0)
        panel.plot([], [], color=colour, linewidth=4, label=model)
    middle = (len(models) - 1) / 2
    ticks = [row * (len(models) + 1) + middle for row in range(len(structures))]
    panel.set_yticks(ticks, structures, fontsize=8)
    panel.set_ylim(ticks[-1] + middle + 1, -1)
    panel.grid(axis="x", color="0.85", linewidth=0.5)
    panel.set_axisbelow(True)
    panel.set_xlabel(f"{measure.title} ({measure.unit})" if measure.unit else measure.title)
    if len(models) > 1:
        figure.legend(loc="outside upper center", ncols=min(len(models), 4), frameon=False, fontsize=8)
    return figure


def svg(figure: Any) -> str:
    """Return a figure as SVG with text as text, without the time at which it was made."""
    import matplotlib as mpl

    buffer = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "synthseg"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
