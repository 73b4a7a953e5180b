"""Measure ``synthseg predict`` on a whole scan: wall and CPU time, peak memory, wall time by phase.

Each set of flags runs as a process of its own, the way a user runs it; then once more inside a worker that times the
stages. Results are printed and appended to a JSON history file, which is not kept in git.

    python tests/benchmarks/bench_predict.py [--scan FILE] [--weights DIR] [--only NAME ...] [--threads N] [--repeat N]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

FLAGS = {
    "fast": ["--fast"],
    "default": [],
    "v1": ["--v1"],
    "robust": ["--robust"],
    "parc": ["--parc"],
    "qc": ["--qc", "QC"],
    "parc_qc": ["--parc", "--qc", "QC"],
}
HISTORY = Path(__file__).resolve().parents[2] / "benchmarks" / "history.json"
_GIB = 2**30


@dataclass(frozen=True)
class Measured:
    """One run of the command as a whole process.

    Parameters
    ----------
    wall_s, cpu_s
        Seconds; CPU is user and system time of the process.
    peak_gib
        Largest resident memory, GiB.
    """

    wall_s: float
    cpu_s: float
    peak_gib: float


def measured(command: list[str]) -> Measured:
    """Run a command and measure it; an error ends the benchmark."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(errors.decode())
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / _GIB)


def arguments(args: argparse.Namespace, flags: list[str], folder: Path) -> list[str]:
    """Return the arguments of ``synthseg`` for one set of flags."""
    known = {"QC": str(folder / "qc.csv")}
    weights = ["--weights", str(args.weights)] if args.weights else []
    return [
        "predict",
        *("--i", str(args.scan), "--o", str(folder / "seg.nii.gz"), "--vol", str(folder / "vol.csv")),
        *("--threads", str(args.threads), "--cpu"),
        *weights,
        *(known.get(flag, flag) for flag in flags),
    ]


def phase_seconds(command: list[str]) -> dict[str, float]:
    """Run the command in a fresh process that times its phases."""
    code = (
        "import json, sys; from synthseg_core.system.timing import collected; from synthseg_core.cli.main import main\n"
        "with collected() as times:\n    status = main(sys.argv[1:])\n"
        "print(json.dumps(times.seconds), file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True)
    return json.loads(done.stderr.strip().splitlines()[-1])


def benchmark(args: argparse.Namespace, name: str) -> dict[str, object]:
    """Measure one set of flags."""
    with tempfile.TemporaryDirectory() as folder:
        command = arguments(args, FLAGS[name], Path(folder))
        program = str(Path(sys.executable).with_name("synthseg"))
        runs = [measured([program, *command]) for _ in range(args.repeat)]
        stages = {} if args.no_stages else phase_seconds(command)
    load = os.getloadavg()[0]
    median = {key: statistics.median(getattr(run, key) for run in runs) for key in ("wall_s", "cpu_s", "peak_gib")}
    print(
        f"{name:10s} wall {median['wall_s']:6.1f} s  CPU {median['cpu_s']:6.1f} s  peak {median['peak_gib']:5.2f} GiB"
        f"  load {load:.1f}  " + "  ".join(f"{stage} {seconds:.1f}" for stage, seconds in stages.items()),
        flush=True,
    )
    return {"flags": name, **median, "runs": [asdict(run) for run in runs], "stages_s": stages, "load": load}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("SYNTHSEG_TEST_DATA")
    parser.add_argument("--scan", type=Path, default=Path(data) / "images" / "chris_t1.nii.gz" if data else None)
    parser.add_argument("--weights", type=Path, help="folder with weights (default: the usual places)")
    parser.add_argument("--only", nargs="+", choices=FLAGS, default=list(FLAGS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--no-stages", action="store_true", help="skip the second run that times the stages")
    args = parser.parse_args()
    if args.scan is None:
        print("no scan: set SYNTHSEG_TEST_DATA or give --scan FILE; nothing was measured")
        return 0
    results = [benchmark(args, name) for name in args.only]
    keep({"date": time.strftime("%Y-%m-%d"), "machine": machine(), "threads": args.threads, "results": results})
    return 0


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    processor = platform.processor() or platform.machine()
    return {"processor": processor, "cores": os.cpu_count(), "torch": torch.__version__}


def keep(entry: dict[str, object]) -> None:
    """Append to the history file."""
    history = json.loads(HISTORY.read_text()) if HISTORY.is_file() else []
    HISTORY.parent.mkdir(exist_ok=True)
    HISTORY.write_text(json.dumps([*history, entry], indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
