"""Pictures of scans and label maps, drawn with matplotlib: planes, labels as colours, the sides of the head as letters.

All pictures of the package are in radiological convention, which :mod:`synthseg_core.images.planes` defines: whoever
reads scans expects it, and one convention cannot be mistaken for another. Each picture prints :data:`CONVENTION`, and
the letters of the four sides stand in every plane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np

from synthseg_core.errors import UsageError
from synthseg_core.images.affines import Size3
from synthseg_core.images.planes import PLANES, Cut, Plane, cut, outlines
from synthseg_core.images.volume import Volume

CONVENTION = "Radiological convention: the left side of the head is on the right of the picture."
Colours: TypeAlias = Mapping[int, tuple[float, float, float]]
"""Red, green and blue, 0 to 1, of label values; those that are absent are not drawn."""

_LINE_POINTS = 0.5
# Where in a plane the letters of its left, right, bottom and top stand, as shares of it.
_LETTER_PLACES = ((0.02, 0.5, "left"), (0.98, 0.5, "right"), (0.5, 0.05, "center"), (0.5, 0.95, "center"))


def require_matplotlib(subject: str, instead: str = "") -> None:
    """Refuse pictures where matplotlib is missing.

    Parameters
    ----------
    subject
        What would be drawn, for the message.
    instead
        What the user may do without installing it.
    """
    try:
        import matplotlib as _  # noqa: F401  (only whether it is there)
    except ImportError as error:
        raise UsageError(
            subject,
            found="no package matplotlib",
            expected="it installed",
            remedy=f"run: pip install 'synthseg-bids[pictures]'{f', or {instead}' if instead else ''}",
        ) from error


def new_figure(width_inches: float, height_inches: float, *, black: bool = True, arranged: bool = False) -> Any:
    """Return an empty figure that needs no screen.

    Parameters
    ----------
    width_inches, height_inches
        Its size.
    black
        Whether its ground is black, not white.
    arranged
        Whether matplotlib finds the places of its parts (``layout="constrained"``).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layout = "constrained" if arranged else None
    figure = Figure((width_inches, height_inches), facecolor="black" if black else "white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Any, dots_per_inch: int) -> bytes:
    """Return a figure as a PNG file, without the version of what drew it: the same picture gives the same bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return buffer.getvalue()


@dataclass(frozen=True)
class View:
    """What is seen of a volume in one panel.

    Parameters
    ----------
    plane
        One of :data:`synthseg_core.images.planes.PLANES`.
    point_mm
        World position that the plane passes through.
    box_mm : (3, 2)
        Lower and upper bounds of what is seen, world coordinates, mm; ``None``: the whole plane.
    """

    plane: Plane
    point_mm: Size3
    box_mm: np.ndarray | None = None

    def heading(self) -> str:
        """Return name and position of the plane; the sagittal one says which half of the head it shows."""
        position = self.point_mm[self.plane.axis]
        side = f" ({'left' if position < 0 else 'right'})" if self.plane.axis == 0 and position else ""
        return f"{self.plane.name}, {'xyz'[self.plane.axis]} = {position:g} mm{side}"


def views(point_mm: Size3, box_mm: np.ndarray | None = None) -> tuple[View, ...]:
    """Return the axial, coronal and sagittal view through a point."""
    return tuple(View(plane, point_mm, box_mm) for plane in PLANES)


def draw_scan(panel: Any, scan: Volume, view: View, window: tuple[float, float]) -> None:
    """Draw grey values; those of ``window`` become black and white."""
    seen = cut(scan, view.plane, view.point_mm)
    panel.imshow(seen.pixels, "gray", extent=seen.extent, origin="lower", vmin=window[0], vmax=window[1])
    _frame(panel, view, seen)


def draw_labels(panel: Any, labels: Volume, view: View, colours: Colours) -> None:
    """Draw labels as full colours on black."""
    seen = cut(labels, view.plane, view.point_mm)
    _paint(panel, seen, colours, opacity=1.0)
    _frame(panel, view, seen)


def overlay_labels(panel: Any, labels: Volume, view: View, colours: Colours, opacity: float = 0.4) -> None:
    """Draw labels over a scan: transparent, with outlines along the edges of voxels.

    Parameters
    ----------
    panel
        Where :func:`draw_scan` has drawn; what part is seen and the letters stay as they are.
    labels
        On the grid of the scan, or on another one.
    view, colours
        As for the scan; label value -> colour.
    opacity
        Of the colours inside the outlines.
    """
    from matplotlib.collections import LineCollection

    seen = cut(labels, view.plane, view.point_mm)
    limits = panel.get_xlim(), panel.get_ylim()
    _paint(panel, seen, colours, opacity)
    edges, owners = outlines(seen.pixels)
    across, up = seen.corners_mm
    lines: Any = np.stack([across[edges[..., 0]], up[edges[..., 1]]], axis=-1)
    rgba = [(*colours[owner], 1.0) if owner in colours else (0.0,) * 4 for owner in owners.tolist()]
    panel.add_collection(LineCollection(lines, colors=rgba, linewidths=_LINE_POINTS))
    panel.set(xlim=limits[0], ylim=limits[1])


def painted(labels: np.ndarray, colours: Colours, opacity: float = 1.0) -> np.ndarray:
    """Return red, green, blue and opacity of labels, (..., 4); values without a colour are transparent."""
    values, index = np.unique(labels, return_inverse=True)
    table = [(*colours[value], opacity) if value in colours else (0.0,) * 4 for value in values.tolist()]
    return np.array(table)[index.reshape(labels.shape)]


def _paint(panel: Any, seen: Cut, colours: Colours, opacity: float) -> None:
    panel.imshow(painted(seen.pixels, colours, opacity), extent=seen.extent, origin="lower", interpolation="nearest")


def _frame(panel: Any, view: View, seen: Cut) -> None:
    """Set what part of the plane is seen, and write the letters of its sides."""
    from matplotlib.patheffects import withStroke

    left, right, bottom, top = seen.extent
    if view.box_mm is not None:
        (right, left), (bottom, top) = view.box_mm[view.plane.across], view.box_mm[view.plane.up]
    panel.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[], facecolor="black")
    for letter, (x, y, side) in zip(view.plane.letters, _LETTER_PLACES, strict=True):
        panel.text(
            x, y, letter, ha=side, va="center", transform=panel.transAxes, weight="bold", fontsize=8, color="white",
            path_effects=[withStroke(linewidth=1.5, foreground="black")],
        )  # fmt: skip
