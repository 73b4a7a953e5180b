"""A picture of samples to look at before anyone trains on them: three planes each, image and labels side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthseg_core.images.affines import Size3, voxel_size
from synthseg_core.images.figures import (
    CONVENTION,
    Colours,
    draw_labels,
    draw_scan,
    new_figure,
    png,
    require_matplotlib,
    views,
)
from synthseg_core.images.reading import read_scan, read_stored
from synthseg_core.images.volume import Volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.labels.structures import Colour, sided_colours
from synthseg_core.synth.draw import Draw
from synthseg_core.synth.sample_files import SamplePaths, SampleRecord
from synthseg_core.system.atomic import write_bytes

_PANEL_INCHES, _TITLE_INCHES, _DPI = 1.7, 0.22, 100
_TEXT: dict[str, Any] = {"color": "white", "fontsize": 7, "va": "top"}


@dataclass(frozen=True)
class SheetRow:
    """One contrast of a sample.

    Parameters
    ----------
    title
        Two facts or more, one line.
    image, labels : (I, J, K)
        RAS+.
    """

    title: str
    image: NDArray[Any]
    labels: NDArray[Any]
    voxel_size: Size3


def rows_of(paths: SamplePaths) -> list[SheetRow]:
    """Read a sample back from its files, one row for each contrast."""
    record = SampleRecord.read(paths.record)
    labels = read_stored(paths.labels)
    each = 1 if record.recipe.sampling_map == "none" else 2
    several = record.recipe.channels * each > 1 or record.recipe.group_channels is not None
    rows = []
    for number in range(record.recipe.channels):
        image = read_scan(paths.image, volume=number * each if several else None).volume.data
        title = f"{paths.name}   {_title(record, number)}"
        rows.append(SheetRow(title, image, labels.data, voxel_size(labels.affine)))
    return rows


def write_contact_sheet(path: Path, rows: Sequence[SheetRow], labels: GenerationLabels) -> None:
    """Draw the rows and write the picture as PNG.

    Parameters
    ----------
    path
        The PNG file.
    rows
        Samples, one a row, from top to bottom.
    labels
        Label list of the samples; left and right of a pair get the same hue, the right one darker.
    """
    require_matplotlib("contact sheet", "give --no-picture")
    row_inches = _PANEL_INCHES + _TITLE_INCHES
    height = row_inches * len(rows) + _TITLE_INCHES
    figure = new_figure(6 * _PANEL_INCHES, height)
    figure.text(0.003, 1 - 0.1 * _TITLE_INCHES / height, f"{CONVENTION} Right structures are darker.", **_TEXT)
    colours = colours_of(labels)
    for number, row in enumerate(rows):
        top = 1 - (_TITLE_INCHES + number * row_inches) / height
        figure.text(0.003, top - 0.1 * _TITLE_INCHES / height, row.title, **_TEXT)
        _draw_row(figure, row, colours, (top - row_inches / height, _PANEL_INCHES / height))
    write_bytes(path, png(figure, _DPI))


def colours_of(labels: GenerationLabels) -> dict[int, Colour]:
    """Return the colour of each target value; those that only labels of the right side have are darker."""
    n_left = labels.n_neutral + (len(labels) - labels.n_neutral) // 2
    pairs = zip(labels.outputs[n_left:], labels.outputs[labels.n_neutral : n_left], strict=True)
    return sided_colours(
        labels.target_values, {right: left for right, left in pairs if left and right not in labels.outputs[:n_left]}
    )


def _title(record: SampleRecord, number: int) -> str:
    draw = record.draw
    mirrored = ["mirrored"] if draw.flip else []
    if not isinstance(draw, Draw):
        return "   ".join([record.map_name, draw.library, *mirrored])
    one = draw.channels[number]
    parts = [
        record.map_name,
        f"spacing {_lengths(one.acquisition.spacing_mm)} mm",
        f"thickness {_lengths(one.acquisition.thickness_mm)} mm",
    ]
    stripped = [f"{len(draw.dropped)} labels dropped"] if draw.dropped else []
    channel = [f"contrast {number + 1}"] if record.recipe.channels > 1 else []
    return "   ".join([*channel, *parts, *mirrored, *stripped])


def _lengths(sizes_mm: Sequence[float]) -> str:
    return " x ".join(f"{size:.1f}" for size in sizes_mm)


def _draw_row(figure: Any, row: SheetRow, colours: Colours, place: tuple[float, float]) -> None:
    """Draw image and labels of each plane; ``place``: bottom and height of the panels, as shares of the figure."""
    affine = np.diag([*row.voxel_size, 1.0])
    image, labels = Volume(row.image, affine), Volume(row.labels, affine)
    x, y, z = (index * size for index, size in zip(_centre(row.labels), row.voxel_size, strict=True))
    for number, view in enumerate(views((x, y, z))):
        panels = [figure.add_axes(((2 * number + k) / 6, place[0], 0.995 / 6, place[1])) for k in range(2)]
        draw_scan(panels[0], image, view, (0, 1))
        draw_labels(panels[1], labels, view, colours)


def _centre(labels: NDArray[Any]) -> tuple[int, ...]:
    """Return the voxel through which slices go: the middle of what is labelled, or of the grid."""
    places = np.nonzero(labels)
    if not len(places[0]):
        return tuple(n // 2 for n in labels.shape)
    return tuple(int(np.median(place)) for place in places)
