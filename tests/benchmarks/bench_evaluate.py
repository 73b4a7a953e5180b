"""Measure `synthseg evaluate`: 40 pairs of 160 x 160 x 160 voxels with the structures of real label maps, two at once.

Prints one JSON line with seconds and memory of the largest process for Dice and volumes, and one with surface distances
too. The label maps are those for training in $SYNTHSEG_TEST_DATA; each segmentation is its reference, moved by a voxel
or two.

    python tests/benchmarks/bench_evaluate.py [--scans N] [--jobs N]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from synthseg_core.images.label_maps import read_ras_labels
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.labels.table import LabelTable

EDGE, FIRST = 160, 48
# Part -> further flags and the seconds that it may take on two cores.
PARTS = {"dice and volumes": (["--no-surfaces"], 40), "surfaces too": ([], 360)}
LIMIT_MB = 2000


def write_pairs(folder: Path, scans: int) -> None:
    """Write references and segmentations."""
    paths = sorted((Path(os.environ["SYNTHSEG_TEST_DATA"]) / "training_label_maps").glob("*.nii.gz"))
    wanted = LabelTable.builtin("segmentation_2.0").labels
    box = (slice(FIRST, FIRST + EDGE),) * 3
    for number in range(scans):
        whole = read_ras_labels(paths[number % len(paths)])
        labels = np.where(np.isin(whole.data[box], wanted), whole.data[box], 0).astype(np.int16)
        moved = np.roll(labels, 1 + number % 2, axis=number % 3)
        for side, data in (("reference", labels), ("segmentation", moved)):
            path = folder / side / f"scan{number:02d}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_volume(path, Volume(data, whole.affine))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder, args.scans)
        for part, (flags, limit_s) in PARTS.items():
            command = [sys.executable, "-m", "synthseg_core.cli.main", "evaluate", "--no-page", *flags]
            command += ["--reference", str(folder / "reference"), "--segmentation", str(folder / "segmentation")]
            command += ["--jobs", str(args.jobs), "--out", str(folder / "out")]
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise SystemExit(f"it ended with status {status}")
            figures = {"part": part, "scans": args.scans, "limit_s": limit_s, "limit_mb": LIMIT_MB}
            seconds, megabytes = round(time.perf_counter() - began, 1), usage.ru_maxrss // 1000
            print(json.dumps({**figures, "seconds": seconds, "largest_process_mb": megabytes}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
