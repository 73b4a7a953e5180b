"""Measure how much volumes change when the same head is sampled, cut, placed or stored otherwise.

Each scan is segmented as it is and in the versions below. Counted are soft volumes of structures above 1 000 mm³; a
mirrored scan has its left and right exchanged back. Prints for each version, separated by tabs: change of the total
intracranial volume in percent, how many structures change by more than 5 %, the largest change, and of which structure;
then one line of JSON with the worst of each version over the scans.

    python tests/benchmarks/bench_robustness.py SCAN ... [--model NAME] [--versions NAME ...]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import affine_transform

from synthseg_core.images.affines import closest_ras, unit_columns
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.loading import Models, load_models
from synthseg_core.models.registry import load_card
from synthseg_core.networks.devices import use_threads
from synthseg_core.segmentation.components import bounding_box
from synthseg_core.segmentation.conform import scan_at
from synthseg_core.segmentation.segment import Segmentation, segment_scan

SMALLEST_MM3 = 1000.0
LARGEST_CHANGE = 0.05
MIRRORED = "mirrored"

Version = Callable[[Volume, np.ndarray], Volume]
"""Makes another volume of a scan, whose brain is the mask (I, J, K)."""


class Row(NamedTuple):
    """What a version changes, in percent; of structures, those above 1 000 mm³."""

    scan: str
    version: str
    total_percent: float
    structures: int
    above_5_percent: int
    worst_percent: float
    worst: str


def sampled(voxel_mm: float) -> Version:
    """Interpolate to cubic voxels."""
    return lambda volume, brain: scan_at(scan_of(volume), voxel_mm)[0]


def mirrored(volume: Volume, brain: np.ndarray) -> Volume:
    """Exchange left and right of the voxels, not of the header."""
    axis = closest_ras(unit_columns(volume.affine)).axes[0]
    return Volume(np.ascontiguousarray(np.flip(volume.data, axis)), volume.affine)


def cropped(margin_voxels: int) -> Version:
    """Cut to the box of the brain and some voxels more."""

    def version(volume: Volume, brain: np.ndarray) -> Volume:
        box = bounding_box(brain)
        assert box is not None
        first = [max(axis.start - margin_voxels, 0) for axis in box]
        part = tuple(slice(a, axis.stop + margin_voxels) for a, axis in zip(first, box, strict=True))
        return moved(volume.data[part], volume.affine, -np.array(first))

    return version


def padded(before_mm: tuple[float, ...], after_mm: tuple[float, ...]) -> Version:
    """Add air, as dark as the darkest voxel."""

    def version(volume: Volume, brain: np.ndarray) -> Volume:
        widths = [
            (round(a / size), round(b / size))
            for a, b, size in zip(before_mm, after_mm, volume.voxel_size, strict=True)
        ]
        data = np.pad(volume.data, widths, constant_values=volume.data.min())
        return moved(data, volume.affine, np.array([before for before, _ in widths]))

    return version


def turned(degrees: float) -> Version:
    """Turn the head about the middle of the scan, nodding and tilting, and interpolate."""

    def version(volume: Volume, brain: np.ndarray) -> Volume:
        a = np.deg2rad(degrees)
        nod = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        tilt = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        middle = volume.affine @ [*((np.array(volume.shape) - 1) / 2), 1]
        turn = np.eye(4)
        turn[:3, :3] = nod @ tilt
        turn[:3, 3] = middle[:3] - turn[:3, :3] @ middle[:3]
        voxels = np.linalg.inv(volume.affine) @ turn @ volume.affine
        return Volume(affine_transform(volume.data, voxels, order=1, cval=volume.data.min()), volume.affine)

    return version


def stored_otherwise(volume: Volume, brain: np.ndarray) -> Volume:
    """Store other axes first, one of them backwards."""
    data = volume.data.transpose(2, 0, 1)[:, ::-1]
    affine = volume.affine[:, [2, 0, 1, 3]]
    affine[:3, 3] += affine[:3, 1] * (data.shape[1] - 1)
    affine[:3, 1] *= -1
    return Volume(np.ascontiguousarray(data), affine)


VERSIONS: dict[str, Version] = {
    "0.7 mm": sampled(0.7),
    "1 mm": sampled(1.0),
    "1.3 mm": sampled(1.3),
    MIRRORED: mirrored,
    "brain and 2 voxels": cropped(2),
    "40 mm of air": padded((40.0, 40.0, 40.0), (40.0, 40.0, 40.0)),
    "13, 0 and 27 mm of air on one side": padded((13.0, 0.0, 0.0), (0.0, 0.0, 27.0)),
    "turned by 10 degrees": turned(10.0),
    "stored otherwise": stored_otherwise,
}


def moved(data: np.ndarray, affine: np.ndarray, first: np.ndarray) -> Volume:
    """Return a volume in which voxel 0 of the other one is voxel ``first``."""
    placed = affine.copy()
    placed[:3, 3] -= affine[:3, :3] @ first
    return Volume(np.ascontiguousarray(data), placed)


def scan_of(volume: Volume) -> Scan:
    """Return a volume as if it had been read."""
    return Scan(volume, volume.voxel_size, Path("version.nii.gz"))


def volumes_of(result: Segmentation, *, exchange: bool = False) -> dict[int, float]:
    """Return soft volumes by label, mm³; with ``exchange`` those of the other side."""
    table = result.labels
    other = dict(zip(table.labels, table.counterparts, strict=True))
    rows = (row for row in result.volumes.rows if row.label is not None)
    return {other[row.label] if exchange else row.label: row.soft_mm3 for row in rows if row.label is not None}


def compared(
    before: dict[int, float], after: dict[int, float], table: LabelTable
) -> tuple[float, int, int, float, str]:
    """Return the figures of a row."""
    total = sum(after.values()) / sum(before.values()) - 1
    changes = {label: after[label] / old - 1 for label, old in before.items() if old > SMALLEST_MM3}
    worst = max(changes, key=lambda label: abs(changes[label]))
    many = sum(abs(change) > LARGEST_CHANGE for change in changes.values())
    name = table.names[table.channel_of(worst)]
    return round(100 * total, 2), len(changes), many, round(100 * changes[worst], 1), name


def rows_of(path: Path, models: Models, names: list[str]) -> list[Row]:
    """Segment a scan and its versions."""
    scan, table, rows = read_scan(path), models.segmentation.card.labels, []
    result = segment_scan(scan, models)
    before, brain = volumes_of(result), result.label_map_on(result.record.source).data > 0
    for name in names:
        volume = VERSIONS[name](scan.volume, brain)
        other = segment_scan(replace(scan_of(volume), source=path), models)
        after = volumes_of(other, exchange=name == MIRRORED)
        rows.append(Row(path.name, name, *compared(before, after, table)))
        print(*rows[-1], sep="\t", file=sys.stderr, flush=True)
    return rows


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN")
    parser.add_argument("--model", default="default", metavar="NAME|CARD")
    parser.add_argument("--versions", nargs="+", choices=VERSIONS, default=list(VERSIONS), metavar="NAME")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    use_threads(options.threads)
    models = load_models(load_card(options.model))
    rows = [row for path in options.scans for row in rows_of(path, models, options.versions)]
    print(json.dumps({name: summary([row for row in rows if row.version == name]) for name in options.versions}))
    return 0


def summary(rows: list[Row]) -> dict[str, float]:
    """Return the worst figures of a version over the scans."""
    return {
        "total_percent": max((row.total_percent for row in rows), key=abs),
        "above_5_percent": max(row.above_5_percent for row in rows),
        "worst_percent": max((row.worst_percent for row in rows), key=abs),
    }


if __name__ == "__main__":
    sys.exit(main())
