"""``group_qc.tsv``: predicted overlap of groups of structures, one row a scan, with a flag that excludes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from synthseg_core.reports.gathering import OfScan, Scores
from synthseg_core.reports.origins import KEY_COLUMNS, key_cells
from synthseg_core.reports.origins import MAKER_COLUMNS

# As in the tables of single scans.
_DECIMALS = 4


def quality_columns(entries: Sequence[OfScan[Scores]], threshold: float) -> dict[str, dict[str, Any]]:
    """Return the columns: a score for each group, the lowest of them, and the flag."""
    groups = dict.fromkeys(name for names in {entry.numbers.names: None for entry in entries} for name in names)
    meaning = "Dice coefficient with the true structures as a network predicts it, 0 to 1, 1 perfect"
    return {
        **KEY_COLUMNS,
        **MAKER_COLUMNS,
        **{_word(name): {"Description": f"{name}: {meaning}"} for name in groups},
        "lowest": {"Description": "Lowest of these scores"},
        "flag": {
            "Description": "Whether to look at the scan; nothing is left out of any table because of it",
            "Levels": {"low": f"a score is below {threshold:g}", "ok": "none is"},
        },
        "low_groups": {"Description": f"Groups whose score is below {threshold:g}, separated by commas"},
    }


def quality_rows(entries: Sequence[OfScan[Scores]], threshold: float) -> Iterator[Mapping[str, str | None]]:
    """Yield one row a scan."""
    for entry in entries:
        scores = dict(zip(entry.numbers.names, entry.numbers.values, strict=True))
        low = [name for name, score in scores.items() if not score >= threshold]
        yield {
            **key_cells(entry.row),
            **entry.maker.cells(),
            **{_word(name): f"{score:.{_DECIMALS}f}" for name, score in scores.items()},
            "lowest": f"{min(scores.values()):.{_DECIMALS}f}" if scores else None,
            "flag": "low" if low else "ok",
            "low_groups": ", ".join(low) or None,
        }


@cache
def _word(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower()).strip("_")
