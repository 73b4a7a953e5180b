"""Scans whose labels are known: in memory, or from an image, a label map and a table that translates its labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.errors import GeometryError
from synthseg_core.images.label_maps import read_label_file
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.labels.remap import Remap

_PLACE_TOLERANCE_MM = 1e-2  # headers hold float32


@dataclass(frozen=True)
class LabelledScan:
    """A scan whose labels are known.

    Parameters
    ----------
    name
        For tables.
    truth : (I, J, K) int32
        Label values on the scan's grid.
    ignore : (I, J, K) bool
        Voxels that are left out; ``None``: none.
    """

    name: str
    scan: Scan
    truth: np.ndarray
    ignore: np.ndarray | None = None


def read_labelled_scan(image: Path, label_map: Path, remap: Remap) -> LabelledScan:
    """Read a scan with its label map.

    Raises
    ------
    InputError
        If a file cannot be read, or the two do not lie on one grid.
    """
    scan, found = read_scan(image), read_label_file(label_map)
    same_place = found.shape == scan.volume.shape and np.allclose(
        found.affine, scan.volume.affine, rtol=0, atol=_PLACE_TOLERANCE_MM
    )
    if not same_place:
        raise GeometryError(
            label_map,
            found=f"another grid than that of {image.name}",
            expected="the same shape and affine",
            remedy="bring the label map to the scan's grid, with nearest neighbours",
        )
    truth, ignore = remap.apply(found.data)
    return LabelledScan(image.name.partition(".")[0], scan, truth, ignore)
