"""Dice of the example as a table, for programs and for a page, and whether each use has gained enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from contrasts import TISSUES

from synthseg_core.errors import UsageError
from synthseg_core.system.atomic import write_text

COLUMNS = ("use", "method", "mean", "gain", "minutes", *TISSUES)
OWN, AS_THEY_ARE = "T1w scans, scored on T1w", "inverted scans as they are"
TRAINED, TRANSLATED = "segmenter trained on translated scans", "scans translated before"
WANTED_GAIN = 0.15
"""Of each use over scans as they are, mean Dice."""
_BEGIN, _END = "<!-- translation example: begin -->", "<!-- translation example: end -->"


def row(
    use: str, method: str, values: np.ndarray, before: np.ndarray | None = None, minutes: float = 0.0
) -> dict[str, str]:
    """Return a row of the table.

    Parameters
    ----------
    use, method
        What was scored.
    values : (4,)
        Dice of each tissue.
    before : (4,)
        Those of scans as they are, to tell the gain; ``None``: none is told.
    minutes
        That the training of the translator took.
    """
    tissues = dict(zip(TISSUES, (f"{value:.3f}" for value in values), strict=True))
    gain = "n/a" if before is None else f"{values.mean() - before.mean():+.3f}"
    scores = {"mean": f"{values.mean():.3f}", "gain": gain, "minutes": f"{minutes:.1f}"}
    return {"use": use, "method": method, **scores, **tissues}


def markdown(rows: Sequence[Mapping[str, str]], heads: str, minutes: float) -> str:
    """Return the table of a page: a row a method, a column a use.

    Parameters
    ----------
    rows
        From :func:`row`.
    heads
        Whose label maps the scans were made from.
    minutes
        That everything took.
    """
    found = {(one["use"], one["method"]): one for one in rows}
    own, before = found[OWN, "none"], found[AS_THEY_ARE, "none"]
    methods = [one["method"] for one in rows if one["use"] == TRANSLATED]
    lines = [
        f"| method | {TRANSLATED} | {TRAINED} | minutes of training |",
        "|---|---|---|---|",
        f"| none | {before['mean']} | {before['mean']} | |",
        *(
            f"| `{method}` | {_cell(found[TRANSLATED, method])} | {_cell(found[TRAINED, method])}"
            f" | {found[TRANSLATED, method]['minutes']} |"
            for method in methods
        ),
        "",
        f"Label maps of {heads}. On its own contrast the segmenter has {own['mean']}.",
        f"Everything took {minutes:.0f} minutes.",
    ]
    return "\n".join(lines)


def verdict(rows: Sequence[Mapping[str, str]]) -> str:
    """Say in a line a use and method whether it has gained what was wanted."""
    judged = [one for one in rows if one["use"] in (TRAINED, TRANSLATED)]
    return "".join(
        f"{one['use']}, {one['method']}: {one['gain']}, "
        f"{'at least' if float(one['gain']) >= WANTED_GAIN else 'less than'} {WANTED_GAIN:g}\n"
        for one in judged
    )


def write_between(page: Path, text: str) -> None:
    """Put a text between the marks of a page; ``UsageError`` if it has none."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise UsageError(str(page), found="no marks", expected=f"{_BEGIN} and {_END}", remedy="put them in")
    write_text(page, f"{before}{begin}\n{text}\n{end}{after}")


def _cell(one: Mapping[str, str]) -> str:
    return f"{one['mean']} ({one['gain']})"
