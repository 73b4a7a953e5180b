"""One picture of a derivative dataset: every scan in three planes, without and with its labels.

Its title says what to expect of the weights, in the words of their card.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from synthseg_core.bids.names import derivative
from synthseg_core.bids.own_folders import work_folder
from synthseg_core.bids.scan_table import read_table
from synthseg_core.errors import InputError
from synthseg_core.images.affines import Size3
from synthseg_core.images.figures import (
    CONVENTION,
    draw_scan,
    new_figure,
    overlay_labels,
    png,
    require_matplotlib,
    views,
)
from synthseg_core.images.planes import PLANES
from synthseg_core.images.reading import read_scan, read_stored
from synthseg_core.images.volume import Volume
from synthseg_core.labels.structures import Colour, sided_colours
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import ModelCard
from synthseg_core.system.atomic import write_bytes

# In the template's space this lies between the left thalamus and hippocampus: the three planes through it show the
# basal ganglia, the ventricles, both hippocampi, the brain-stem and the cerebellum.
POINT_MM = (-24.0, -18.0, 2.0)
# From here on what a scan shows is taken for head, as a share of its bright voxels; and the margin around it.
_HEAD_SHARE, _MARGIN_MM = 0.1, 6.0
_ROW_INCHES = 2.7
DOTS_PER_INCH = 120
_LEGEND_COLUMNS = 9
_SETS = {"synthetic": "synthetic scans of heads that it was not trained on", "labelled": "labelled real scans"}


def expectation(card: ModelCard) -> list[str]:
    """Return lines of text: which weights, and their measured Dice where the card records it."""
    return [f"{card.name}: {card.title.removeprefix(f'{card.name}: ')}", *_measured(card.training.get("dice"))]


def _measured(dice: Any) -> Iterator[str]:
    """Return a line for each set of scans that the model was measured on."""
    scores = [(name, one["score"]) for name, one in _mapping(dice).items() if _mapping(one).get("score") is not None]
    for name, score in scores:
        yield f"mean Dice on {_SETS.get(name, name)}: {score:.2f} (1 is perfect, 0 no overlap)"
    if not scores:
        yield "its card records no measured Dice"


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


@dataclass(frozen=True)
class Row:
    """A scan with one of its label maps, perhaps on another grid.

    Parameters
    ----------
    title
        What stands above it.
    """

    title: str
    scan: Volume
    labels: Volume


def write_picture(
    derivatives: Path, card: ModelCard, path: Path, point_mm: Size3 = POINT_MM, dots_per_inch: int = DOTS_PER_INCH
) -> None:
    """Draw every segmented scan of a derivative dataset into a PNG file.

    Parameters
    ----------
    derivatives
        Folder that ``synthseg-bids`` wrote.
    card
        Model that was used: for the title and the names of structures.
    path
        The PNG file.
    point_mm
        World position that the planes pass through.
    dots_per_inch
        Of a picture that is 15 inches wide.

    Raises
    ------
    InputError
        If nothing is segmented.
    UsageError
        If matplotlib is not installed.
    """
    require_matplotlib("the picture")
    rows = tuple(_rows(derivatives))
    if not rows:
        raise InputError(
            derivatives, found="no segmented scan", expected="at least one", remedy="see group_scans.tsv there"
        )
    figure = _draw(rows, card, point_mm)
    write_bytes(path, png(figure, dots_per_inch))


def _rows(derivatives: Path) -> Iterator[Row]:
    """Return segmented scans; those whose voxels are not the network's are shown with the answer at 1 mm as well."""
    for row in read_table(work_folder(derivatives) / "scans.tsv"):
        own, fine = (derivatives / derivative(row.scan, product) for product in ("dseg", "dseg_1mm"))
        if not row.usable or not own.is_file():
            continue
        scan = read_scan(row.source).volume
        name = f"{Path(row.path).name}, voxels of {_size(scan)} mm"
        yield Row(name, scan, read_stored(own))
        if not np.allclose(scan.voxel_size, 1, atol=0.05) and fine.is_file():
            yield Row(f"{name}: its label map at 1 mm", scan, read_stored(fine))


def _size(volume: Volume) -> str:
    return " x ".join(f"{edge:.3g}" for edge in volume.voxel_size)


def _draw(rows: Sequence[Row], card: ModelCard, point_mm: Size3) -> Any:
    """Return the figure: a row for each, every plane twice."""
    figure = new_figure(15.0, _ROW_INCHES * len(rows) + 1.8, arranged=True)
    words = [*expectation(card), f"{CONVENTION} Right structures are darker."]
    figure.suptitle("\n".join(words), color="white", fontsize=10)
    table = card.labels
    left_of = {table.labels[i]: table.counterparts[i] for i, side in enumerate(table.sides) if side == "right"}
    colours = sided_colours((label for row in rows for label in np.unique(row.labels.data).tolist()), left_of)
    parts = figure.subfigures(len(rows) + 1, 1, height_ratios=[_ROW_INCHES] * len(rows) + [0.8])
    for part, row in zip(parts, rows, strict=False):
        _draw_row(part, row, colours, point_mm)
    _draw_legend(parts[-1], card.labels, colours)
    return figure


def _draw_row(part: Any, row: Row, colours: Mapping[int, Colour], point_mm: Size3) -> None:
    part.set_facecolor("black")
    part.suptitle(row.title, color="white", fontsize=10, x=0.01, ha="left")
    boxes = _head(row.scan)
    widths = [np.ptp(boxes[plane.across]) / np.ptp(boxes[plane.up]) for plane in PLANES for _ in range(2)]
    axes = part.subplots(1, 2 * len(PLANES), width_ratios=widths)
    white = float(np.percentile(row.scan.data[row.scan.data > 0], 99.5))
    for index, view in enumerate(views(point_mm, boxes)):
        plain, coloured = axes[2 * index : 2 * index + 2]
        for panel in (plain, coloured):
            draw_scan(panel, row.scan, view, (0, white))
        plain.set_title(view.heading(), color="white", fontsize=9)
        overlay_labels(coloured, row.labels, view, colours)


def _head(scan: Volume) -> np.ndarray:
    """Return the box around everything that is not dark, in world coordinates, mm: (3, 2)."""
    inside = np.array(np.nonzero(scan.data > _HEAD_SHARE * np.percentile(scan.data, 99)))
    corners = np.array(np.meshgrid(*zip(inside.min(axis=1), inside.max(axis=1), strict=True))).reshape(3, -1)
    world = scan.affine[:3, :3] @ corners + scan.affine[:3, 3:]
    return np.stack([world.min(axis=1) - _MARGIN_MM, world.max(axis=1) + _MARGIN_MM], axis=1)


def _draw_legend(part: Any, table: LabelTable, colours: Mapping[int, Colour]) -> None:
    from matplotlib.patches import Patch

    part.set_facecolor("black")
    handles = [Patch(color=colour, label=name) for name, colour in _legend(table, colours)]
    part.legend(handles=handles, loc="center", ncols=_LEGEND_COLUMNS, fontsize=8, labelcolor="white", frameon=False)


def _legend(table: LabelTable, colours: Mapping[int, Colour]) -> Iterable[tuple[str, Colour]]:
    """Return the structures that are seen, one entry for both sides."""
    entries: dict[str, Colour] = {}
    for label, name in zip(table.labels, table.names, strict=True):
        if label in colours:
            entries.setdefault(name.removeprefix("left ").removeprefix("right "), colours[label])
    return entries.items()
