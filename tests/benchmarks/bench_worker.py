"""Measure scans a second through the warm worker: ``synthseg segment`` over a folder, some clients at a time.

Prints one JSON line: seconds until the worker has segmented its first scan, then scans a second over all others, and
the peak memory of the GPU, if there is one, as its driver sees it.

    python tests/benchmarks/bench_worker.py FOLDER [--model NAME|CARD] [--device D] [--clients N] [--repeat N]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from synthseg_core.images.formats import READABLE, extension

PROGRAM = (sys.executable, "-m", "synthseg_core.cli.main")
_GLANCE_S = 0.2
_MIB = 2**20


class Memory(threading.Thread):
    """Watches the memory of the first GPU until told to end."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mib = 0
        self.ended = threading.Event()

    def run(self) -> None:
        command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
        while shutil.which("nvidia-smi") and not self.ended.wait(_GLANCE_S):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.peak_mib = max(self.peak_mib, *(int(word) for word in done.stdout.split() if word.isdigit()), 0)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--clients", type=int, default=2, help="scans that are read, computed or written at a time")
    parser.add_argument("--repeat", type=int, default=1, help="how often each scan is segmented")
    args = parser.parse_args()
    scans = sorted(path for path in args.folder.iterdir() if extension(path) in READABLE) * args.repeat
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({**measured(scans, Path(folder), args), "load": os.getloadavg()[0]}))
    return 0


def measured(scans: list[Path], folder: Path, args: argparse.Namespace) -> dict[str, object]:
    """Return the figures of one worker."""
    socket, memory = folder / "w.sock", Memory()
    memory.start()
    begin = time.perf_counter()
    with (folder / "worker.log").open("w") as log:
        worker = subprocess.Popen([*PROGRAM, "serve", str(socket), "--device", args.device], stdout=log)
        try:
            while not socket.exists():
                time.sleep(0.01)
            segment(scans[0], 0, socket, folder, args)
            first_s = time.perf_counter() - begin
            begin = time.perf_counter()
            with ThreadPoolExecutor(args.clients) as pool:
                jobs = [pool.submit(segment, scan, n, socket, folder, args) for n, scan in enumerate(scans, start=1)]
            for job in jobs:
                job.result()
            rate = len(scans) / (time.perf_counter() - begin)
        finally:
            worker.terminate()
            worker.wait()
            memory.ended.set()
    served = (folder / "worker.log").read_text().count('"status": 0')
    if served != len(scans) + 1:
        raise SystemExit(f"the worker served {served} of {len(scans) + 1} scans")
    return {
        "model": args.model,
        "device": args.device,
        "scans": len(scans),
        "clients": args.clients,
        "first_scan_s": round(first_s, 2),
        "scans_per_s": round(rate, 3),
        "peak_gpu_gb": round(memory.peak_mib * _MIB / 1e9, 2),
    }


def segment(scan: Path, number: int, socket: Path, folder: Path, args: argparse.Namespace) -> None:
    """Segment one scan as a job of the workflow does."""
    outputs = ["--dseg", str(folder / f"{number}.nii.gz"), "--volumes", str(folder / f"{number}.tsv")]
    words = ["segment", str(scan), "--model", args.model, "--device", args.device, *outputs]
    subprocess.run([*PROGRAM, "--worker", str(socket), *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
