"""Measure how well quality scores rank real scans that were degraded on purpose.

Each scan is segmented as it is and degraded: noise, blur, thick slices, wrong contrast, each in two strengths. What the
scan itself gives stands for the truth: of the degraded ones, Dice with it is compared with the predicted score, both
means over the groups. Prints a line for each segmentation, and one of JSON with the rank correlation of each scan and
the share of degraded versions that score lower than the scan itself.

    python tests/benchmarks/bench_quality.py SCAN ... [--model NAME] [--out TSV]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.networks.devices import use_threads
from synthseg_core.segmentation.quality import groups_of_channels
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.system.atomic import write_text
from synthseg_core.system.tables import format_tsv
from synthseg_core.training.quality_pairs import Pair, group_dice

# Kind -> two strengths: noise in parts of the range of intensities, the others in mm; contrast is a weight of the fold.
DEGRADATIONS = {"noise": (0.1, 0.4), "blur": (2.0, 5.0), "slices": (6.0, 14.0), "contrast": (0.5, 1.0)}


class Row(NamedTuple):
    """A segmentation: predicted score, and Dice with that of the scan as it is."""

    scan: str
    version: str
    score: float
    dice: float


def degraded(data: np.ndarray, voxel_size: tuple[float, ...], kind: str, strength: float) -> np.ndarray:
    """Return a scan made worse."""
    low, high = np.percentile(data, (0.5, 99.5))
    if kind == "noise":
        return data + np.random.default_rng(0).normal(0, strength * (high - low), data.shape)
    if kind == "blur":
        return gaussian_filter(data, [strength / 2.355 / size for size in voxel_size])
    if kind == "slices":  # along the last axis, slices as thick as their distance
        step = max(1, round(strength / voxel_size[2]))
        starts = range(0, data.shape[2], step)
        thick = np.stack([data[:, :, start : start + step].mean(2) for start in starts], axis=2)
        return thick.repeat(step, axis=2)[:, :, : data.shape[2]]
    # Tissue as bright as its opposite: intensities are folded about the median of what is not dark.
    middle = np.median(data[data > low + 0.1 * (high - low)])
    return (1 - strength) * data + strength * np.where(data > middle, 2 * middle - data, data)


def versions(scan: Scan) -> Iterator[tuple[str, Scan]]:
    """Yield the scan itself, and all that is made of it."""
    yield "as it is", scan
    for kind, strengths in DEGRADATIONS.items():
        for strength in strengths:
            data = degraded(scan.volume.data, scan.volume.voxel_size, kind, strength)
            yield f"{kind} {strength:g}", replace(scan, volume=Volume(data, scan.volume.affine))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN")
    parser.add_argument("--model", default="default", metavar="NAME|CARD")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, metavar="TSV")
    options = parser.parse_args()
    use_threads(options.threads)
    models = load_models(load_card(options.model), quality=True)
    groups = groups_of_channels(models.segmentation.card.labels)
    rows: list[Row] = []
    for path in options.scans:
        clean = None
        for name, scan in versions(read_scan(path)):
            result = segment_scan(scan, models)
            found = groups[result.decision]
            clean = found if clean is None else clean
            dice = group_dice(Pair(found, clean, np.zeros(int(groups.max()) + 1, np.int64)))
            score = float(np.mean([one.score for one in result.quality or ()]))
            rows.append(Row(path.name, name, round(score, 4), round(float(dice[1:].mean()), 4)))
            print(*rows[-1], sep="\t", file=sys.stderr, flush=True)
    if options.out is not None:
        write_text(options.out, format_tsv((row._asdict() for row in rows), Row._fields))
    names = dict.fromkeys(row.scan for row in rows)
    print(json.dumps({name: figures([row for row in rows if row.scan == name]) for name in names}))
    return 0


def figures(rows: list[Row]) -> dict[str, float]:
    """Return rank correlation with Dice, and the share of degraded versions that score lower than the scan itself."""
    scores, dice = np.array([row.score for row in rows]), np.array([row.dice for row in rows])
    return {"spearman": round(float(spearmanr(scores, dice)[0]), 3), "lower": float((scores[1:] < scores[0]).mean())}  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
