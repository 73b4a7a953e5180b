"""Data of the package: label tables, model cards, recipes, groupings, weights; each file names its source."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent


def resource(*parts: str) -> Path:
    """Return the path of a file or folder here, for instance ``resource("labels", "segmentation_2.0.tsv")``."""
    return _FOLDER.joinpath(*parts)
