"""Measure what the workflow costs beside the computation: seconds a scan over many tiny scans, with the warm worker.

Tiny scans with a tiny random network go through ``synthseg-bids``. From the wall time is subtracted the time during
which the worker was busy with at least one job; the rest, divided by the number of scans, is the overhead of the
engine: Snakemake's start, planning and bookkeeping, shells, clients, and the group tables at the end. Prints one JSON
line.

    python tests/benchmarks/bench_engine.py [--scans N] [--cores N] [--no-worker] [--folder DIR] [-- WORD ...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.phantoms.scans import phantom, write_nifti

TARGET_S = 0.25
"""Overhead a scan that is allowed over 200 scans."""


@dataclass(frozen=True)
class Engine:
    """One run.

    Parameters
    ----------
    wall_s
        The whole command.
    compute_s
        While at least one job was in the worker; ``None`` without one.
    overhead_s_per_scan
        The rest, a scan.
    marginal_s_per_scan
        The same between the first job's begin and the last job's end only: what one more scan would add.
    before_s, after_s
        From the start to the first job, from the last job to the end.
    """

    wall_s: float
    compute_s: float | None
    overhead_s_per_scan: float | None
    marginal_s_per_scan: float | None
    before_s: float | None
    after_s: float | None


def make_dataset(folder: Path, scans: int) -> Path:
    """Write a dataset of tiny heads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text('{"Name": "tiny", "BIDSVersion": "1.11.1"}')
    for number in range(scans):
        scan = phantom((2.0, 2.0, 2.5), shape=(17, 21, 15), seed=number)
        write_nifti(folder / f"sub-{number:04d}" / "anat" / f"sub-{number:04d}_T1w.nii.gz", scan)
    return folder


def measured(bids: Path, out: Path, words: Iterable[str]) -> Engine:
    """Run the front door and take its time apart."""
    command = [Path(sys.executable).parent / "synthseg-bids", bids, out, "participant", "--model", "tiny-random"]
    begin = time.time()
    done = subprocess.run([*command, "--device", "cpu", *words], capture_output=True, text=True, check=False)
    end = time.time()
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    logs = list((out / ".work").rglob("worker.log"))
    scans = len(list(bids.glob("sub-*")))
    return taken_apart(begin, end, busy_times(logs[0]) if logs else [], scans)


def busy_times(log: Path) -> list[tuple[float, float]]:
    """Return begin and end of every job that the worker reported."""
    reports = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return [(report["begin"], report["end"]) for report in reports]


def taken_apart(begin: float, end: float, jobs: list[tuple[float, float]], scans: int) -> Engine:
    """Subtract the time of the jobs from the time of the run."""
    if not jobs:
        return Engine(round(end - begin, 2), None, None, None, None, None)
    first, last = min(jobs)[0], max(stop for _, stop in jobs)
    compute = union_s(jobs)
    values = (compute, (end - begin - compute) / scans, (last - first - compute) / scans, first - begin, end - last)
    return Engine(round(end - begin, 2), *(round(value, 3) for value in values))


def union_s(intervals: Iterable[tuple[float, float]]) -> float:
    """Return how long at least one of the intervals lasted."""
    total, until = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, until))
        until = max(until, stop)
    return total


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--no-worker", action="store_true", help="a process a job, for comparison")
    parser.add_argument("--folder", type=Path, help="where to make a temporary folder")
    parser.add_argument("words", nargs="*", help="more words for synthseg-bids")
    args = parser.parse_args()
    words = ["--n-cpus", str(args.cores), *(["--no-worker"] if args.no_worker else []), *args.words]
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        engine = measured(make_dataset(Path(folder) / "bids", args.scans), Path(folder) / "out", words)
    load = os.getloadavg()[0]
    record = {"scans": args.scans, "cores": args.cores, "worker": not args.no_worker, **asdict(engine)}
    record |= {"target_s_per_scan": TARGET_S, "load": round(load, 2), "cpu": _cpu(), "time": int(time.time())}
    print(json.dumps(record))


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


if __name__ == "__main__":
    main()
