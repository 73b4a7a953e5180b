"""A picture of how a training goes: a sample, its labels, what the network makes of it, and the curves.

Slices are shown in neurological convention: the left of the picture is the left of the head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthseg_core.errors import UsageError
from synthseg_core.system.atomic import write_bytes
from synthseg_core.training.log import LOG, VALIDATION, read_rows

SNAPSHOT = "snapshot.png"
_CONVENTION = "left of the picture = left of the head"
_GOLDEN = 0.6180339887  # spreads the colours of neighbouring classes over the map


def require_matplotlib() -> None:
    """Refuse pictures where matplotlib is missing."""
    try:
        import matplotlib as _  # noqa: F401  (only whether it is there)
    except ImportError as error:
        raise UsageError(
            "snapshot",
            found="no package matplotlib",
            expected="it installed",
            remedy="run: pip install 'synthseg-bids[pictures]', or train with --no-snapshot",
        ) from error


def write_snapshot(folder: Path, image: NDArray[Any], truth: NDArray[Any], predicted: NDArray[Any]) -> None:
    """Write ``snapshot.png``: three mid slices of a sample, and the curves of the logs in ``folder``.

    Parameters
    ----------
    image : (I, J, K)
        In RAS+ order.
    truth, predicted : (I, J, K)
        Classes from 0.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 12), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(4, 3)
    classes = int(max(truth.max(), predicted.max())) + 1
    pictures = {"image": image, "labels": coloured(truth, classes), "prediction": coloured(predicted, classes)}
    for column, (name, volume) in enumerate(pictures.items()):
        for row, picture in enumerate(mid_slices(volume)):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(picture, origin="lower", cmap="gray")
            axes.set_axis_off()
            axes.set_title(name if row == 0 else "")
    _draw_curves(figure.add_subplot(grid[3, :]), read_rows(folder / LOG), read_rows(folder / VALIDATION))
    figure.suptitle(f"{_title(read_rows(folder / LOG))}; {_CONVENTION}", fontsize="medium")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    write_bytes(folder / SNAPSHOT, buffer.getvalue())


def mid_slices(volume: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the axial, coronal and sagittal mid slices of a RAS+ volume, as rows from bottom to top.

    The first two have left at the left; the third has posterior at the left.
    """
    i, j, k = (n // 2 for n in volume.shape[:3])
    return [np.swapaxes(part, 0, 1) for part in (volume[:, :, k], volume[:, j], volume[i])]


def coloured(class_index: NDArray[Any], classes: int) -> NDArray[Any]:
    """Return (..., 3) colours of classes; the background is black."""
    from matplotlib import colormaps

    table = colormaps["turbo"]((np.arange(classes) * _GOLDEN) % 1)[:, :3]
    table[0] = 0
    return table[class_index]


def _draw_curves(axes: Any, log: Sequence[Mapping[str, str]], validations: Sequence[Mapping[str, str]]) -> None:
    """Draw the loss, a line for each stage, and on a second axis the Dice of validations."""
    for stage in dict.fromkeys(row["stage"] for row in log):
        rows = [row for row in log if row["stage"] == stage]
        axes.plot(*_columns(rows, "loss"), label=f"loss ({stage})", linewidth=1)
    if any(float(row["loss"]) > 0 for row in log):
        axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    if validations:
        right = axes.twinx()
        right.plot(*_columns(validations, "score"), "k.-", label="Dice of validations")
        right.set_ylim(0, 1)
        right.set_ylabel("Dice")
    if log:
        axes.legend(loc="upper right", fontsize="small")


def _columns(rows: Sequence[Mapping[str, str]], name: str) -> tuple[list[int], list[float]]:
    return [int(row["step"]) for row in rows], [float(row[name]) for row in rows]


def _title(log: Sequence[Mapping[str, str]]) -> str:
    return f"step {log[-1]['step']}, loss {float(log[-1]['loss']):.3f}" if log else "before the first step"
