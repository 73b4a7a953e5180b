"""Facts about single structures: short names, their class in the label table of BIDS, and colours.

Colours are FreeSurfer's where it has them, and others that are easy to tell apart where not.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from synthseg_core.resources import resource
from synthseg_core.system.tables import read_tsv

Colour: TypeAlias = tuple[float, float, float]
"""Red, green and blue, 0 to 1."""
PALETTES = ("colour-blind", "freesurfer")
"""Colours of reports."""
# Steps of the golden ratio around the colour circle never come close to one another.
_HUE_STEP = (5**0.5 - 1) / 2
_RIGHT_SHADE = 0.55


@dataclass(frozen=True)
class Structure:
    """What is known of a structure.

    Parameters
    ----------
    abbreviation
        Letters and digits, as the ``label`` entity of file names allows.
    mapping
        Class in the table "Common image-derived labels" of BIDS.
    """

    abbreviation: str
    mapping: int


def structure(label: int, name: str) -> Structure | None:
    """Return what is known of a structure; ``None`` for labels of one's own, also where they reuse a number."""
    return _known().get((label, name.lower()))


@cache
def _known() -> dict[tuple[int, str], Structure]:
    path = resource("structures.tsv")
    rows = read_tsv(path, ("label", "name", "abbreviation", "mapping"))
    return {(int(r["label"]), r["name"].lower()): Structure(r["abbreviation"], int(r["mapping"])) for r in rows}


def label_colours(labels: Iterable[int]) -> dict[int, Colour]:
    """Return a colour for every label but the background, 0; the same label has the same colour every time."""
    known = _known_colours()
    return {label: known.get(label) or distinct_colour(label) for label in labels if label != 0}


def report_colours(
    labels: Iterable[int], left_of: Mapping[int, int], palette: str = "colour-blind"
) -> dict[int, Colour]:
    """Return colours for reports, the same for both sides.

    Parameters
    ----------
    labels, left_of
        As for :func:`sided_colours`.
    palette
        One of :data:`PALETTES`: seven hues that colour-blind people can tell apart, or FreeSurfer's colours.
    """
    hues = {label: left_of.get(label, label) for label in labels if label != 0}
    known = label_colours(hues.values())
    if palette == "colour-blind":
        table = _read_colours("colours_reports.tsv")
        cycle = list(dict.fromkeys(table.values()))
        known = {hue: table.get(hue) or cycle[hue % len(cycle)] for hue in known}
    return {label: known[hue] for label, hue in hues.items()}


def sided_colours(labels: Iterable[int], left_of: Mapping[int, int]) -> dict[int, Colour]:
    """Return colours that tell sides apart: what is on the right has the hue of its counterpart, but darker.

    Parameters
    ----------
    labels
        As for :func:`label_colours`.
    left_of
        Label of each structure on the right -> label of its counterpart on the left.
    """
    wanted = {label: left_of.get(label, label) for label in labels if label != 0}
    colours = label_colours(wanted.values())
    return {label: _shaded(colours[hue]) if label in left_of else colours[hue] for label, hue in wanted.items()}


def _shaded(colour: Colour) -> Colour:
    red, green, blue = (_RIGHT_SHADE * share for share in colour)
    return red, green, blue


def _known_colours() -> dict[int, Colour]:
    return _read_colours("colours.tsv")


@cache
def _read_colours(table: str) -> dict[int, Colour]:
    rows = read_tsv(resource(table), ("label", "red", "green", "blue"))
    return {int(row["label"]): (_share(row["red"]), _share(row["green"]), _share(row["blue"])) for row in rows}


def _share(text: str) -> float:
    return int(text) / 255


def distinct_colour(number: int) -> Colour:
    """Return a colour that is easy to tell from those of other numbers."""
    return colorsys.hsv_to_rgb(number * _HUE_STEP % 1, 0.75, 0.95)
