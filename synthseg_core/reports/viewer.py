"""An interactive viewer of a scan with its labels: three planes that follow the pointer, one page that works offline.

The viewer is nilearn's (brainsprite); nothing of it lies in this repository.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from synthseg_core.errors import UsageError
from synthseg_core.images.mosaic import RasVolume, box_around
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.labels.structures import report_colours
from synthseg_core.reports.page_files import VIEWER
from synthseg_core.reports.scan_facts import ScanFacts
from synthseg_core.reports.scan_pictures import Pictured, grey_window
from synthseg_core.system.atomic import write_text

_OPACITY, _WIDTH = 0.5, 1100
# Voxels with shorter edges are thinned out: the page would have tens of megabytes.
_LEAST_MM = 0.8


def write_viewer(facts: ScanFacts, pictured: Pictured, palette: str) -> None:
    """Write the viewer of a scan beside its pictures.

    Parameters
    ----------
    facts
        Of the scan.
    pictured
        Label map and scan; without the scan, labels are on black.
    palette
        See :func:`synthseg_core.labels.structures.report_colours`.

    Raises
    ------
    UsageError
        If nilearn is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from matplotlib.colors import ListedColormap
            from nilearn.plotting import view_img
    except ImportError as error:
        raise UsageError(
            "--viewer",
            found="no package nilearn",
            expected="it installed",
            remedy="run: pip install 'synthseg-bids[reports]', or leave --viewer out",
        ) from error
    labels = pictured.labels
    values = [value for value in np.flatnonzero(np.bincount(labels.data.ravel())).tolist() if value]
    colours = report_colours(values, facts.left_of, palette)
    classes = np.searchsorted(np.array([0, *values]), labels.data)
    low, high = grey_window(pictured)
    grey = (
        np.zeros(classes.shape) if pictured.scan is None else np.clip((pictured.scan.data - low) / (high - low), 0, 1)
    )
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nilearn, about what is done on purpose
        paths = [_written(Path(folder) / f"{name}.nii", data, labels) for name, data in (("a", grey), ("b", classes))]
        show: Any = view_img  # its hints know less than it can do
        view = show(
            str(paths[1]),
            bg_img=str(paths[0]),
            threshold=0.5,
            cmap=ListedColormap([colours[value] for value in values] or ["black"]),
            vmin=1,
            vmax=max(2, len(values)),
            symmetric_cmap=False,
            resampling_interpolation="nearest",
            colorbar=False,
            black_bg=True,
            opacity=_OPACITY,
            radiological=True,
            width_view=_WIDTH,
            title=facts.name,
        )
        write_text(facts.figure(VIEWER), view.get_standalone())


def _written(path: Path, data: np.ndarray, labels: RasVolume) -> Path:
    """Write what is shown of a volume: the box of the labels, with voxels that are not too fine."""
    box = box_around(labels.data > 0, labels.voxel_size)
    steps = [max(1, round(_LEAST_MM / edge)) for edge in labels.voxel_size]
    affine = labels.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ box[:, 0]
    affine[:3, :3] *= steps
    shown = data[tuple(slice(low, high, step) for (low, high), step in zip(box.tolist(), steps, strict=True))]
    write_volume(path, Volume(np.ascontiguousarray(shown), affine), dtype="float32")
    return path
