"""A picture of how a training goes: a sample, its labels, what the network makes of it, and the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from synthseg_core.images.figures import CONVENTION, draw_labels, draw_scan, new_figure, png, require_matplotlib, views
from synthseg_core.images.volume import Volume
from synthseg_core.labels.structures import distinct_colour
from synthseg_core.system.atomic import write_bytes
from synthseg_core.training.log import LOG, VALIDATION, read_rows

SNAPSHOT = "snapshot.png"
# What needs matplotlib, and what to do without.
SUBJECT, INSTEAD = "snapshot", "train with --no-snapshot"
_DPI = 80


def class_picture(folder: Path, images: Tensor, class_index: Tensor, logits: Tensor, measure: str) -> None:
    """Draw the first image channel of a sample, its classes, and the most probable ones.

    Parameters
    ----------
    folder
        Of the training.
    images : (1, C, I, J, K)
        In RAS+ order.
    class_index : (1, I, J, K)
        True class.
    logits : (1, N, I, J, K)
        Of the network.
    measure
        What validations measure.
    """
    image, truth, predicted = (part.cpu().numpy() for part in (images[0, 0], class_index[0], logits[0].argmax(0)))
    write_snapshot(folder, image, truth, predicted, measure)


def write_snapshot(
    folder: Path, image: NDArray[Any], truth: NDArray[Any], predicted: NDArray[Any], measure: str = "Dice"
) -> None:
    """Write ``snapshot.png``: three mid slices of a sample, and the curves of the logs in ``folder``.

    Parameters
    ----------
    folder
        Of the training.
    image : (I, J, K)
        In RAS+ order.
    truth, predicted : (I, J, K)
        Classes from 0.
    measure
        What validations measure.
    """
    require_matplotlib(SUBJECT, INSTEAD)
    figure = new_figure(9, 12, black=False, arranged=True)
    grid = figure.add_gridspec(4, 3)
    colours = {number: distinct_colour(number) for number in range(1, int(max(truth.max(), predicted.max())) + 1)}
    window = float(image.min()), float(image.max())
    i, j, k = (n // 2 for n in image.shape)
    for row, view in enumerate(views((i, j, k))):
        panels = [figure.add_subplot(grid[row, column]) for column in range(3)]
        draw_scan(panels[0], _volume(image), view, window)
        draw_labels(panels[1], _volume(truth), view, colours)
        draw_labels(panels[2], _volume(predicted), view, colours)
        for panel, name in zip(panels, ("image", "labels", "prediction"), strict=True):
            panel.set_title(name if row == 0 else "")
    draw_curves(figure.add_subplot(grid[3, :]), read_rows(folder / LOG), read_rows(folder / VALIDATION), measure)
    figure.suptitle(f"{training_title(read_rows(folder / LOG))}\n{CONVENTION}", fontsize="medium")
    write_bytes(folder / SNAPSHOT, png(figure, _DPI))


def _volume(data: NDArray[Any]) -> Volume:
    """Place voxels on a grid of 1 mm: the size of a sample's voxels is the same in all directions."""
    return Volume(data, np.eye(4))


def draw_curves(
    axes: Any, log: Sequence[Mapping[str, str]], validations: Sequence[Mapping[str, str]], measure: str
) -> None:
    """Draw the loss, a line for each stage, and on a second axis what validations measured."""
    for stage in dict.fromkeys(row["stage"] for row in log):
        rows = [row for row in log if row["stage"] == stage]
        axes.plot(*_columns(rows, "loss"), label=f"loss ({stage})", linewidth=1)
    if any(float(row["loss"]) > 0 for row in log):
        axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    if validations:
        right = axes.twinx()
        right.plot(*_columns(validations, "score"), "k.-", label=f"{measure} of validations")
        right.set_ylim(0, 1)
        right.set_ylabel(measure)
    if log:
        axes.legend(loc="upper right", fontsize="small")


def _columns(rows: Sequence[Mapping[str, str]], name: str) -> tuple[list[int], list[float]]:
    return [int(row["step"]) for row in rows], [float(row[name]) for row in rows]


def training_title(log: Sequence[Mapping[str, str]]) -> str:
    """Return step and loss of the last row of a log."""
    return f"step {log[-1]['step']}, loss {float(log[-1]['loss']):.3f}" if log else "before the first step"
