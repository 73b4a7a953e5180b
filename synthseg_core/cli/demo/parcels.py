"""Phantom heads whose cortex is divided into three parcels a side, with the label list of their maps.

The borders are planes across the head; what a network learns from them is of no use for real scans.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthseg_core.cli.demo.heads import head
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.labels.table import CORTEX_LABELS
from synthseg_core.resources import resource
from synthseg_core.system.atomic import write_text
from synthseg_core.system.tables import format_tsv, read_tsv

LIST, COLUMN = "labels.tsv", "output_parcels"
# Parcels from back to front, numbers and names of the FreeSurfer colour table without the side; and how far from the
# centre of the head each begins, mm.
_PARCELS = ((11, "lateraloccipital", -np.inf), (29, "superiorparietal", -30.0), (28, "superiorfrontal", 10.0))
_FIRST = {"left": 1000, "right": 2000}
_SHORT = {"left": "lh", "right": "rh"}


def write_parcel_heads(folder: Path, count: int = 4, voxel_size_mm: float = 1.0, first: int = 1) -> list[Path]:
    """Write label maps of different heads into ``folder/maps`` and their label list beside it; return the maps.

    Parameters
    ----------
    folder
        Made if it is not there.
    count
        How many heads.
    voxel_size_mm
        Edge of the voxels.
    first
        Number of the first head.
    """
    paths = [folder / "maps" / f"sub-{number:02d}_dseg.nii.gz" for number in range(first, first + count)]
    for seed, path in enumerate(paths, start=first):
        write_volume(path, with_parcels(head(seed, voxel_size_mm)))
    write_text(folder / LIST, parcel_list())
    return paths


def with_parcels(labels: Volume) -> Volume:
    """Return a label map (I, J, K), RAS+, whose cortex is divided from back to front."""
    data = labels.data.copy()
    posterior_anterior_mm = labels.affine[1, 3] + labels.affine[1, 1] * np.arange(data.shape[1])
    for side, cortex in CORTEX_LABELS.items():
        for number, _, begin_mm in _PARCELS:
            front = (posterior_anterior_mm >= begin_mm)[None, :, None]
            data[front & (labels.data == cortex)] = _FIRST[side] + number
    return Volume(data, labels.affine)


def parcel_list() -> str:
    """Return the label list of such maps: the package's with parcels in place of the cortex, and a column for them."""
    rows = read_tsv(resource("synth", "generation_54.tsv"), required=("value", "output"))
    sides = {str(value): side for side, value in CORTEX_LABELS.items()}
    changed = []
    for row in rows:
        side = sides.get(row["value"])
        changed += [{**row, COLUMN: "0"}] if side is None else _rows(row, side)
    return format_tsv(changed, (*rows[0], COLUMN))


def _rows(cortex: dict[str, str], side: str) -> list[dict[str, str]]:
    """Return a row for each parcel of a side."""
    other = "right" if side == "left" else "left"
    return [
        cortex
        | {
            "value": str(_FIRST[side] + number),
            "name": f"ctx-{_SHORT[side]}-{name}",
            "counterpart": str(_FIRST[other] + number),
            COLUMN: str(_FIRST[side] + number),
        }
        for number, name, _ in _PARCELS
    ]
