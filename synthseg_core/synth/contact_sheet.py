"""A picture of samples to look at before anyone trains on them: three planes each, image and labels side by side.

The left of axial and coronal slices is the left of the head, and letters say so.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthseg_core.errors import UsageError
from synthseg_core.images.affines import Size3, voxel_size
from synthseg_core.images.reading import read_scan, read_stored
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.sample_files import SamplePaths, SampleRecord
from synthseg_core.system.atomic import write_bytes

# Axis across the slice, axes to the right and up, and the letters at left, right, bottom and top.
_PLANES = ((2, 0, 1, "LRPA"), (1, 0, 2, "LRIS"), (0, 1, 2, "PAIS"))
_LETTERS = ((0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center"), (0.5, 0.02, "center", "bottom"))
_LETTER_PLACES = (*_LETTERS, (0.5, 0.98, "center", "top"))
_PANEL_INCHES, _TITLE_INCHES, _DPI = 1.7, 0.22, 100
_GOLDEN = 0.6180339887  # spreads the hues of neighbouring values


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


def require_matplotlib() -> None:
    """Refuse pictures where matplotlib is missing."""
    try:
        import matplotlib as _  # noqa: F401  (only whether it is there)
    except ImportError as error:
        raise UsageError(
            "contact sheet",
            found="no package matplotlib",
            expected="it installed",
            remedy="run: pip install 'synthseg-bids[pictures]', or give --no-picture",
        ) from error


def rows_of(paths: SamplePaths) -> list[SheetRow]:
    """Read a sample back from its files, one row for each contrast."""
    record = SampleRecord.read(paths.record)
    labels = read_stored(paths.labels)
    each = 1 if record.recipe.sampling_map == "none" else 2
    several = record.recipe.channels * each > 1
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
    labels
        Label list of the samples; left and right of a pair get the same hue, the right one paler.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = (_PANEL_INCHES + _TITLE_INCHES) * len(rows)
    figure = Figure(figsize=(6 * _PANEL_INCHES, height), facecolor="black")
    FigureCanvasAgg(figure)
    colours = colour_table(labels)
    for number, row in enumerate(rows):
        _draw_row(figure, row, colours, (number, len(rows)))
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    write_bytes(path, buffer.getvalue())


def colour_table(labels: GenerationLabels) -> NDArray[np.float64]:
    """Return red, green and blue of each target value, (largest value + 1, 3); background black, outside grey."""
    table = np.full((max(labels.target_values) + 1, 3), 0.3)
    table[0] = 0
    for index, value in enumerate(labels.outputs):
        partner = labels.outputs[labels.swap_index[index]]
        if value:
            hue = labels.target_values.index(min(value, partner)) * _GOLDEN % 1
            is_right = index >= labels.n_neutral + (len(labels) - labels.n_neutral) // 2
            table[value] = colorsys.hsv_to_rgb(hue, 0.45 if is_right and partner != value else 0.95, 1.0)
    return table


def _title(record: SampleRecord, number: int) -> str:
    one = record.draw.channels[number]
    parts = [
        record.map_name,
        f"spacing {_lengths(one.acquisition.spacing_mm)} mm",
        f"thickness {_lengths(one.acquisition.thickness_mm)} mm",
    ]
    mirrored = ["mirrored"] if record.draw.flip else []
    stripped = [f"{len(record.draw.dropped)} labels dropped"] if record.draw.dropped else []
    channel = [f"contrast {number + 1}"] if record.recipe.channels > 1 else []
    return "   ".join([*channel, *parts, *mirrored, *stripped])


def _lengths(sizes_mm: Sequence[float]) -> str:
    return " x ".join(f"{size:.1f}" for size in sizes_mm)


def _draw_row(figure: Any, row: SheetRow, colours: NDArray[np.float64], place: tuple[int, int]) -> None:
    number, count = place
    whole = _PANEL_INCHES + _TITLE_INCHES
    top, panel = 1 - number / count, _PANEL_INCHES / whole / count
    figure.text(0.003, top - 0.1 * _TITLE_INCHES / whole / count, row.title, color="white", fontsize=7, va="top")
    centre = _centre(row.labels)
    for plane, (across, *axes, letters) in enumerate(_PLANES):
        for column, volume in enumerate((row.image, row.labels)):
            box = ((2 * plane + column) / 6, top - 1 / count, 0.995 / 6, panel)
            axis = figure.add_axes(box, facecolor="black")
            slice_ = np.swapaxes(volume.take(centre[across], across), 0, 1)  # rows from bottom to top
            picture = colours[slice_] if column else slice_
            aspect = row.voxel_size[axes[1]] / row.voxel_size[axes[0]]
            axis.imshow(picture, "gray", origin="lower", aspect=aspect, vmin=0, vmax=1, interpolation="nearest")
            axis.set_axis_off()
            _write_letters(axis, letters)


def _write_letters(axis: Any, letters: str) -> None:
    for letter, (x, y, across, up) in zip(letters, _LETTER_PLACES, strict=True):
        axis.text(x, y, letter, color="yellow", fontsize=6, ha=across, va=up, transform=axis.transAxes)


def _centre(labels: NDArray[Any]) -> tuple[int, ...]:
    """Return the voxel through which slices go: the middle of what is labelled, or of the grid."""
    places = np.nonzero(labels)
    if not len(places[0]):
        return tuple(n // 2 for n in labels.shape)
    return tuple(int(np.median(place)) for place in places)
