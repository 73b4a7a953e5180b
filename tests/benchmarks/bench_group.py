"""Measure the group level of a large dataset: seconds and peak memory, start of the program included.

Fabricates the tables, sidecars and empty images of many scans in a temporary folder, and gathers them in a process of
its own. Prints one JSON line for each checkout. Linux only: the peak is the kernel's.

    python tests/benchmarks/bench_group.py [--scans N] [--stages segment parcellate qc] [--against CHECKOUT]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthseg_core.bids.names import derivative, products_of
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.scan_table import write_table
from synthseg_core.labels.table import LabelTable
from synthseg_core.segmentation.volumes import StructureVolume, VolumeTable

REPOSITORY = Path(__file__).resolve().parents[2]
SCANS = 10_000
LIMIT_MB = 500
STAGES = ("segment", "parcellate", "qc")
GROUPS = ("general white matter", "general grey matter", "general csf", "cerebellum", "brainstem", "thalamus")
SIDECAR = {
    "Model": {"Name": "synthseg-2.0", "WeightsSHA256": "ab" * 32},
    "GeneratedBy": [{"Name": "synthseg-bids", "Version": "0.1.0"}],
    "Warnings": [],
}
# The peak is read inside: the one that wait4 returns begins with the memory of the process that started it.
PROGRAM = """
import sys
from pathlib import Path
from synthseg_core.cli.main import main
status = main(sys.argv[1:])
(line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(line.split()[1]) // 1000)
sys.exit(status)
"""


def make_dataset(folder: Path, scans: int, stages: tuple[str, ...]) -> None:
    """Make what the group level reads of each scan, every number drawn."""
    draw = random.Random(0)
    labels = {
        "volumes": LabelTable.builtin("segmentation_2.0"),
        "parcel_volumes": LabelTable.builtin("parcellation_2.0"),
    }
    products = [product for stage in stages for product in products_of(stage)]
    rows = [_row(number) for number in range(scans)]
    for row in rows:
        (folder / row.scan).parent.mkdir(parents=True)
        for product in products:
            path = folder / derivative(row.scan, product)
            if product in labels:
                path.write_text(_volumes(labels[product], draw))
            elif product == "scores":
                lines = (f"{number}\t{name}\t{draw.random():.4f}\n" for number, name in enumerate(GROUPS))
                path.write_text("".join(["index\tname\tscore\n", *lines]))
            else:
                path.write_text(json.dumps(SIDECAR) if path.suffix == ".json" else "")
    write_table(folder / ".work" / "scans.tsv", rows)


def measured(checkout: Path, folder: Path, stages: tuple[str, ...]) -> dict[str, object]:
    """Gather in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", PROGRAM, "group", str(folder), "--stages", *stages]
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    # Not from here: python -c looks for packages in the working folder first, and would take this checkout's.
    said = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "checkout": str(checkout),
        "wall_s": round(seconds, 1),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_mb": int(said.split()[-1]),
        "limit_mb": LIMIT_MB,
        "load": round(os.getloadavg()[0], 1),
    }


def _row(number: int) -> ScanRow:
    name = f"sub-{number:05d}"
    return ScanRow(f"{name}/anat/{name}_space-T1w", name, "", "T1w", f"{name}_T1w.nii", f"/gone/{name}_T1w.nii")


def _volumes(labels: LabelTable, draw: random.Random) -> str:
    structures = zip(labels.labels[1:], labels.names[1:], labels.sides[1:], strict=True)
    rows = (
        StructureVolume(label, name, side, draw.uniform(1, 1e6), draw.uniform(1, 1e6))
        for label, name, side in structures
    )
    return VolumeTable((StructureVolume(None, "total intracranial", "neutral", draw.uniform(1, 1e6)), *rows)).to_tsv()


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=SCANS)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=["segment"])
    parser.add_argument("--against", type=Path, help="another checkout, measured first")
    args = parser.parse_args()
    stages = tuple(stage for stage in STAGES if stage in args.stages)
    with tempfile.TemporaryDirectory() as folder:
        make_dataset(Path(folder), args.scans, stages)
        for checkout in filter(None, (args.against, REPOSITORY)):
            made = {"part": "group level", "scans": args.scans, "stages": stages}
            print(json.dumps({**made, **measured(checkout.resolve(), Path(folder), stages)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
