"""Measure the generator: seconds per sample and peak memory, per preset, each in a process of its own.

Results are printed and appended to a JSON history, which is not kept in git. The official
preset makes 160 x 160 x 160 voxels; on two CPU cores it may take 5 s and 2 GB, on a GPU 0.3 s.

    python tests/benchmarks/bench_generator.py [--maps PATH] [--presets NAME ...] [--device D] [--threads N]
                                               [--samples N]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from synthseg_core.cli.bench import machine

HISTORY = Path(__file__).resolve().parents[2] / "benchmarks" / "generator.json"
PRESETS = ("official", "pv", "default_1mm", "default_2mm", "tiny")
_WARM_UPS = {"cpu": 1, "cuda": 5}
_SAMPLES = {"cpu": 5, "cuda": 50}
_GB = 1e9


def measure(preset: str, path: Path | None, device: torch.device, samples: int | None) -> dict[str, object]:
    """Make samples in this process and return what they cost."""
    from synthseg_core.synth import BrainGenerator, read_recipe

    recipe = read_recipe(preset)
    generator = BrainGenerator(_maps(path, recipe).to(device), recipe)
    count, first = samples or _SAMPLES[device.type], _WARM_UPS[device.type]
    seconds, cpu_s = [], 0.0
    for seed in range(first + count):
        cpu_s = time.process_time() if seed == first else cpu_s
        _synchronise(device)
        begin = time.perf_counter()
        image = generator.sample(seed).image
        _synchronise(device)
        seconds.append(time.perf_counter() - begin)
    result = {"preset": preset, "shape": list(image.shape[1:]), "device": device.type, "samples": count}
    times = seconds[first:]
    result |= {"mean_s": sum(times) / count, "best_s": min(times), "worst_s": max(times), "load": os.getloadavg()[0]}
    result["cpu_s"] = (time.process_time() - cpu_s) / count
    result["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GB
    if device.type == "cuda":
        result["peak_gpu_gb"] = torch.cuda.max_memory_allocated() / _GB
    return result


def _maps(path: Path | None, recipe):
    """Read a real label map, or make one of blocks where there is none."""
    from synthseg_core.synth import read_maps
    from synthseg_core.synth.maps import read_labels
    from tests.phantoms.heads import phantom_maps

    if path is not None:
        return read_maps(path, recipe)
    size = 256 // recipe.map_step
    return phantom_maps(read_labels("generation_54", recipe), 1, (size, size, size))


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def in_own_process(preset: str, args: argparse.Namespace) -> dict[str, object]:
    """Measure one preset in a fresh interpreter, so that its peak memory is its own."""
    words = [sys.executable, __file__, "--only", preset, "--device", args.device, "--threads", str(args.threads)]
    words += ["--maps", str(args.maps)] if args.maps else []
    words += ["--samples", str(args.samples)] if args.samples else []
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
    return json.loads(run.stdout.splitlines()[-1])


def line(found: dict) -> str:
    """Return the figures of a preset for people."""
    spread = f"({found['best_s']:.3f} to {found['worst_s']:.3f})"
    gpu = f"  GPU {found['peak_gpu_gb']:.2f} GB" if "peak_gpu_gb" in found else ""
    cost = (
        f"{found['mean_s']:6.3f} s a sample {spread}  CPU {found['cpu_s']:.2f} s  peak {found['peak_gb']:.2f} GB{gpu}"
    )
    return f"{found['preset']:12s} {' x '.join(map(str, found['shape'])):16s} {cost}  load {found['load']:.1f}"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("SYNTHSEG_TEST_DATA")
    default = Path(data) / "training_label_maps" / "training_seg_01.nii.gz" if data else None
    parser.add_argument("--maps", type=Path, default=default, help="a label map (default: of the test data, or blocks)")
    parser.add_argument(
        "--presets", nargs="+", choices=PRESETS, default=[name for name in PRESETS if name != "default_1mm"]
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, help="default: 5 on a CPU, 50 on a GPU")
    parser.add_argument("--only", choices=PRESETS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        torch.set_num_threads(args.threads)
        print(json.dumps(measure(args.only, args.maps, torch.device(args.device), args.samples)))
        return 0
    results = []
    for preset in args.presets:
        found = in_own_process(preset, args)
        print(line(found), flush=True)
        results.append(found)
    entry = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "threads": args.threads, "generator": results}
    history = json.loads(HISTORY.read_text()) if HISTORY.is_file() else []
    HISTORY.parent.mkdir(exist_ok=True)
    HISTORY.write_text(json.dumps([*history, entry], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
