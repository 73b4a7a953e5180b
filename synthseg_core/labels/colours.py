"""Colours of labels in pictures: FreeSurfer's where it has them, others that are easy to tell apart where not."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

from synthseg_core.system.tables import read_tsv

Colour: TypeAlias = tuple[float, float, float]
"""Red, green and blue, 0 to 1."""

# Steps of the golden ratio around the colour circle never come close to one another.
_HUE_STEP = (5**0.5 - 1) / 2


def label_colours(labels: Iterable[int]) -> dict[int, Colour]:
    """Return a colour for every label but the background, 0; the same label has the same colour every time."""
    known = _known()
    return {label: known.get(label) or _invented(label) for label in labels if label != 0}


@cache
def _known() -> dict[int, Colour]:
    rows = read_tsv(Path(str(files("synthseg_core") / "resources" / "colours.tsv")), ("label", "red", "green", "blue"))
    return {int(row["label"]): (_share(row["red"]), _share(row["green"]), _share(row["blue"])) for row in rows}


def _share(text: str) -> float:
    return int(text) / 255


def _invented(label: int) -> Colour:
    return colorsys.hsv_to_rgb(label * _HUE_STEP % 1, 0.75, 0.95)
