"""The picture of the example: a slice in its own contrast and translated by each method, with what was segmented."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segmenter import read_slices, segment
from torch import nn

from synthseg_core.images.figures import new_figure, painted, png
from synthseg_core.labels.structures import distinct_colour
from synthseg_core.system.atomic import write_bytes

_COLOURS = {number: distinct_colour(number) for number in range(1, 5)}
_SLICE_SHARE = 0.5  # of the height of the head
_DPI = 90


def write_comparison(path: Path, out: Path, scan: Path, methods: Sequence[str], segmenter: nn.Module) -> None:
    """Draw one slice of a scan: as it is, translated by each method, and the true tissues.

    Parameters
    ----------
    path
        Of the PNG file.
    out
        Of the example.
    scan
        Held-out scan of the odd contrast.
    methods
        Whose translations there are.
    segmenter
        That knows the other contrast alone.
    """
    labels = scan.parent / "labels" / scan.name
    translated = {name: out / "translated" / f"{name}-T1w" / scan.name for name in methods}
    figure = new_figure(2.0 * (len(methods) + 2), 4.6, black=False, arranged=True)
    panels = figure.subplots(2, len(methods) + 2)
    for column, (name, file) in enumerate({"no translation": scan, **translated}.items()):
        slices = read_slices(file, labels)
        number = round(_SLICE_SHARE * len(slices.images))
        panels[0, column].imshow(slices.images[number], "gray", vmin=-1, vmax=1)
        found = segment(segmenter, slices.images[number : number + 1])[0]
        panels[1, column].imshow(painted(found, _COLOURS), interpolation="nearest")
        panels[0, column].set_title(name)
        panels[0, -1].imshow(painted(slices.tissues[number], _COLOURS), interpolation="nearest")
    panels[0, -1].set_title("true tissues")
    panels[0, 0].set_ylabel("scan")
    panels[1, 0].set_ylabel("segmented")
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[], facecolor="black")
    panels[1, -1].set_visible(False)
    write_bytes(path, png(figure, _DPI))
