"""A picture of how a training goes: images of both domains, translated, and translated back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthseg_core.images.figures import new_figure, png
from synthseg_core.system.atomic import write_bytes
from synthseg_core.translation.validation import Examples

PREVIEW = "preview.png"
_DPI = 100
_MOST = 5


def write_preview(path: Path, examples: Examples, domains: tuple[str, str], title: str) -> None:
    """Write a picture with a column an image and three rows a domain.

    Parameters
    ----------
    path
        Of the PNG file.
    examples
        Images and their translations; the middle channel of the first ones is drawn.
    domains
        Names.
    title
        Above the picture.
    """
    first, second = domains
    rows = [
        (first, examples.true[0]),
        (f"to {second}", examples.translated[0]),
        ("and back", examples.returned[0]),
        (second, examples.true[1]),
        (f"to {first}", examples.translated[1]),
        ("and back", examples.returned[1]),
    ]
    columns = min(_MOST, max(len(images) for _, images in rows))
    figure = new_figure(1.6 * columns + 0.6, 1.6 * len(rows) + 0.4, black=False, arranged=True)
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for (name, images), line in zip(rows, panels, strict=True):
        line[0].set_ylabel(name)
        for number, panel in enumerate(line):
            panel.set(xticks=[], yticks=[])
            if number < len(images):
                chosen = images[number * len(images) // columns] if len(images) > columns else images[number]
                panel.imshow(_middle(chosen.cpu().numpy()), "gray", vmin=-1, vmax=1, interpolation="nearest")
    figure.suptitle(title, fontsize="medium")
    write_bytes(path, png(figure, _DPI))


def _middle(image: np.ndarray) -> np.ndarray:
    return image[len(image) // 2]
