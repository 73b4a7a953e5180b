"""Measure how long it takes to plan: the scan table of a large dataset, and dry runs of the workflow over one.

Each part prints one JSON line, with the median of five runs for tables and of three for dry runs.

    python tests/benchmarks/bench_planning.py [--only NAME ...] [--repeat N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from synthseg_core.bids.scan_table import find_scans, read_table, write_table
from synthseg_core.bids.search import Search

SUBJECTS = 5000
REPOSITORY = Path(__file__).resolve().parents[2]


def scan_table(repeat: int) -> dict[str, object]:
    """Find the scans of a BIDS dataset with T1w, T2w and their sidecars, write the table and read it back."""
    with tempfile.TemporaryDirectory() as folder:
        root, table = Path(folder) / "bids", Path(folder) / "scans.tsv"
        make_dataset(root, SUBJECTS)
        seconds = [measured(lambda: _table_once(root, table)) for _ in range(repeat)]
    return {"part": "scan table", "subjects": SUBJECTS, "limit_s": 0.5, "median_s": statistics.median(seconds)}


def listed_scans(repeat: int) -> dict[str, object]:
    """Take the same scans from a CSV file."""
    with tempfile.TemporaryDirectory() as folder:
        root, table = Path(folder) / "bids", Path(folder) / "scans.tsv"
        make_dataset(root, SUBJECTS)
        paths = (
            f"sub-{n:05d}/anat/sub-{n:05d}_{s}.nii.gz,{n:05d},{s}" for n in range(SUBJECTS) for s in ("T1w", "T2w")
        )
        (root / "scans.csv").write_text("\n".join(["path,subject,suffix", *paths]))
        seconds = [measured(lambda: _table_once(root / "scans.csv", table)) for _ in range(repeat)]
    return {"part": "listed scans", "subjects": SUBJECTS, "median_s": statistics.median(seconds)}


def dry_run(repeat: int) -> dict[str, object]:
    """Plan the segmentation of 10 000 scans, and then the group level."""
    return {"part": "dry run", "limit_s": 25, **_dry_runs(repeat, {}, ("all", "group"))}


def dry_run_all_stages(repeat: int) -> dict[str, object]:
    """Plan 10 000 scans with parcels and quality scores."""
    stages = {"parcellate": {"enabled": True}, "qc": {"enabled": True}}
    return {
        "part": "dry run, parcels and scores",
        "limit_s": 50,
        "limit_mb": 800,
        **_dry_runs(repeat, stages, ("all",)),
    }


PARTS: dict[str, Callable[[int], dict[str, object]]] = {
    "scan_table": scan_table,
    "listed_scans": listed_scans,
    "dry_run": dry_run,
    "dry_run_all_stages": dry_run_all_stages,
}


def make_dataset(root: Path, subjects: int) -> None:
    """Make empty files: T1w and T2w of each subject, with a sidecar each."""
    for number in range(subjects):
        subject = f"sub-{number:05d}"
        folder = root / subject / "anat"
        folder.mkdir(parents=True)
        for suffix in ("T1w", "T2w"):
            for extension in (".nii.gz", ".json"):
                (folder / f"{subject}_{suffix}{extension}").touch()


def _dry_runs(repeat: int, stages: Mapping[str, object], targets: Sequence[str]) -> dict[str, object]:
    """Return the median time of planning all targets one after the other, and the largest peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_dataset(root / "bids", SUBJECTS)
        config = {"input": str(root / "bids"), "output": str(root / "out"), "segment": {"model": "tiny-random-cortex"}}
        (root / "config.yaml").write_text(yaml.safe_dump({**config, **stages}))
        runs = [_plan(root, targets) for _ in range(min(repeat, 3))]
    seconds, megabytes = zip(*runs, strict=True)
    return {"scans": 2 * SUBJECTS, "median_s": round(statistics.median(seconds), 1), "peak_mb": max(megabytes)}


def _plan(root: Path, targets: Sequence[str]) -> tuple[float, int]:
    """Plan each target in a process of its own; return seconds and peak memory in MB."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "workflow" / "Snakefile", "--dry-run"]
    command += [
        "--configfile",
        "config.yaml",
        "--workflow-profile",
        REPOSITORY / "profiles" / "default",
        "--cores",
        "2",
    ]
    begin, peak = time.perf_counter(), 0
    for target in targets:
        process = subprocess.Popen([*command, target], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"the plan of {target} ended with status {status}")
        peak = max(peak, usage.ru_maxrss // 1000)
    return time.perf_counter() - begin, peak


def measured(action: Callable[[], object]) -> float:
    """Return the wall time of an action, seconds."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def _table_once(root: Path, table: Path) -> None:
    table.unlink(missing_ok=True)
    write_table(table, find_scans(root, Search()))
    if len(read_table(table)) != 2 * SUBJECTS:
        raise SystemExit("the scan table lacks scans")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    for name in args.only:
        print(json.dumps({**PARTS[name](args.repeat), "load": os.getloadavg()[0]}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
