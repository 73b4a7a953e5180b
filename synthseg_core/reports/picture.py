"""One picture of a derivative dataset: every scan in three planes, without and with its labels.

What to expect of the weights that a demonstration uses, in the words of their card.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np

from synthseg_core.bids.names import derivative
from synthseg_core.bids.scan_table import read_table
from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.affines import Size3
from synthseg_core.images.planes import PLANES, Cut, Plane, cut, outlines
from synthseg_core.images.reading import read_scan, read_stored
from synthseg_core.images.volume import Volume
from synthseg_core.labels.structures import Colour, label_colours
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import ModelCard
from synthseg_core.system.atomic import atomic_path

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


# In the template's space this lies between the left thalamus and hippocampus: the three planes through it show the
# basal ganglia, the ventricles, both hippocampi, the brain-stem and the cerebellum.
POINT_MM = (-24.0, -18.0, 2.0)
_OPACITY = 0.4
_LINE_POINTS = 0.5
# From here on what a scan shows is taken for head, as a share of its bright voxels; and the margin around it.
_HEAD_SHARE, _MARGIN_MM = 0.1, 6.0
_ROW_INCHES = 2.7
DOTS_PER_INCH = 120
_LEGEND_COLUMNS = 9
_CONVENTION = (
    "Radiological convention: the left side of the head is on the right of the picture. Right structures are darker."
)
_RIGHT_SHADE = 0.55


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
    _require_matplotlib()
    rows = tuple(_rows(derivatives))
    if not rows:
        raise InputError(
            derivatives, found="no segmented scan", expected="at least one", remedy="see group_scans.tsv there"
        )
    figure = _draw(rows, card, point_mm)
    with atomic_path(path) as temporary:
        # No version of the program that drew it: the same labels give the same bytes.
        figure.savefig(temporary, format="png", dpi=dots_per_inch, facecolor="black", metadata={"Software": None})


def _require_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        raise UsageError(
            "the picture",
            found="no matplotlib in this environment",
            expected="that package",
            remedy="pip install 'synthseg-bids[pictures]'",
        )


def _rows(derivatives: Path) -> Iterator[Row]:
    """Return segmented scans; those whose voxels are not the network's are shown with the answer at 1 mm as well."""
    for row in read_table(derivatives / "work" / "scans.tsv"):
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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = _ROW_INCHES * len(rows) + 1.8
    figure: Any = Figure(figsize=(15.0, height), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join([*expectation(card), _CONVENTION]), color="white", fontsize=10)
    colours = _colours((label for row in rows for label in np.unique(row.labels.data).tolist()), card.labels)
    parts = figure.subfigures(len(rows) + 1, 1, height_ratios=[_ROW_INCHES] * len(rows) + [0.8])
    for part, row in zip(parts, rows, strict=False):
        _draw_row(part, row, colours, point_mm)
    _draw_legend(parts[-1], card.labels, colours)
    return figure


def _colours(labels: Iterable[int], table: LabelTable) -> dict[int, Colour]:
    """Return colours that tell sides apart."""
    right = {label for label, side in zip(table.labels, table.sides, strict=True) if side == "right"}
    return {label: _shaded(rgb) if label in right else rgb for label, rgb in label_colours(labels).items()}


def _shaded(colour: Colour) -> Colour:
    red, green, blue = (_RIGHT_SHADE * share for share in colour)
    return red, green, blue


def _draw_row(part: Any, row: Row, colours: Mapping[int, Colour], point_mm: Size3) -> None:
    part.set_facecolor("black")
    part.suptitle(row.title, color="white", fontsize=10, x=0.01, ha="left")
    boxes = _head(row.scan)
    widths = [np.ptp(boxes[plane.across]) / np.ptp(boxes[plane.up]) for plane in PLANES for _ in range(2)]
    axes = part.subplots(1, 2 * len(PLANES), width_ratios=widths)
    window = tuple(np.percentile(row.scan.data[row.scan.data > 0], (0.5, 99.5)))
    for index, plane in enumerate(PLANES):
        image, labels = cut(row.scan, plane, point_mm), cut(row.labels, plane, point_mm)
        for panel in axes[2 * index : 2 * index + 2]:
            panel.imshow(image.pixels, "gray", extent=image.extent, origin="lower", vmin=0, vmax=window[1])
            _frame(panel, plane, boxes)
        axes[2 * index].set_title(_heading(plane, point_mm), **_TEXT)
        _overlay(axes[2 * index + 1], labels, colours)


def _heading(plane: Plane, point_mm: Size3) -> str:
    """Return name and position of a plane; the sagittal one says which half of the head it shows."""
    position = point_mm[plane.axis]
    side = f" ({'left' if position < 0 else 'right'})" if plane.name == "sagittal" and position else ""
    return f"{plane.name}, {'xyz'[plane.axis]} = {position:g} mm{side}"


_TEXT: dict[str, Any] = {"color": "white", "fontsize": 9}


def _frame(panel: Any, plane: Plane, boxes: np.ndarray) -> None:
    """Set what part of the plane is seen, and the letters of its sides."""
    (low, high), (bottom, top) = boxes[plane.across], boxes[plane.up]
    panel.set(xlim=(high, low), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[], facecolor="black")
    places = ((0.02, 0.5, "left"), (0.98, 0.5, "right"), (0.5, 0.05, "center"), (0.5, 0.95, "center"))
    for letter, (x, y, side) in zip(plane.letters, places, strict=True):
        panel.text(x, y, letter, ha=side, va="center", transform=panel.transAxes, weight="bold", **_TEXT)


def _overlay(panel: Any, labels: Cut, colours: Mapping[int, Colour]) -> None:
    """Draw labels as transparent colours with outlines along the edges of voxels."""
    from matplotlib.collections import LineCollection

    paint = np.zeros((*labels.pixels.shape, 4))
    for label, colour in colours.items():
        paint[labels.pixels == label] = (*colour, _OPACITY)
    panel.imshow(paint, extent=labels.extent, origin="lower", interpolation="nearest")
    edges, owners = outlines(labels.pixels)
    across, up = labels.corners_mm
    lines: Any = np.stack([across[edges[..., 0]], up[edges[..., 1]]], axis=-1)
    panel.add_collection(LineCollection(lines, colors=[colours[int(o)] for o in owners], linewidths=_LINE_POINTS))


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
