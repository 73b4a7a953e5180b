"""Measure training steps, samples included, for several networks; before a training on a machine that costs money.

Each network takes steps of the preset for some seconds; a JSON line gives the median seconds of a step, of making its
samples alone, samples a second, the weights and their size as fp16, and the peak memory of the device. With
``--dice-after TIME`` each network is also trained for that long, with the schedule planned for it, and scored on draws
of the held-out maps: what is best in a short time is not always what has the most weights.

    python tests/benchmarks/bench_training.py --maps training.npz [--networks FxL ...] [--crops N ...] [--batch-size N]
                                              [--compiled] [--dice-after 2m --held-out held_out.npz]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from synthseg_core.networks.config import UNetConfig
from synthseg_core.networks.devices import choose_device, hardware_text, use_threads
from synthseg_core.networks.precision import fixed_shapes
from synthseg_core.training.budget import parse_duration
from synthseg_core.training.config import Intervals
from synthseg_core.training.experiment import Experiment, ValidationConfig, preset_names
from synthseg_core.training.loop import run_training
from synthseg_core.training.precision_race import fastest_precision
from synthseg_core.training.prepare import Inputs, MapsSource, Prepared
from synthseg_core.training.samples import Ahead
from synthseg_core.training.state import new_state
from synthseg_core.training.step import train_step
from synthseg_core.training.tasks import prepare

_WARM_UPS = 3
_FP16_MB = 2e-6


def measured(network: tuple[int, int], crop: int, args: argparse.Namespace) -> dict[str, object]:
    """Return what one network costs."""
    device = choose_device(args.device)
    prepared = prepare(experiment_of(network, crop, args), Inputs(maps_of(args)), device)
    making_s = median_s(lambda number: prepared.source.batch(seeds(number, prepared)), args.seconds / 4, device)
    step_s, weights = steps_of(prepared, device, args.seconds)
    batch = prepared.config.batch_size
    result: dict[str, object] = {
        "network": f"{network[0]}x{network[1]}",
        "crop": list(prepared.sample_shape),
        "batch_size": batch,
        "compiled": args.compiled,
        "precision": prepared.config.precision,
        "step_s": round(step_s, 4),
        "making_samples_s": round(making_s, 4),
        "samples_per_s": round(batch / step_s, 2),
        "weights": weights,
        "fp16_mb": round(weights * _FP16_MB, 1),
        "peak_gb": round(peak_gb(device), 2),
        "hardware": hardware_text(device, 1),
        "load": os.getloadavg()[0],
    }
    if args.dice_after:
        result |= score(prepared, args)
    return result


def experiment_of(network: tuple[int, int], crop: int, args: argparse.Namespace) -> Experiment:
    """Return the preset with another network and crop."""
    preset = Experiment.preset(args.preset)
    recipe = replace(preset.recipe, crop=replace(preset.recipe.crop, shape=(crop,) * 3))
    config = UNetConfig(features=network[0], levels=network[1])
    training = replace(
        preset.training,
        network=config,
        batch_size=args.batch_size or preset.training.batch_size,
        precision=fastest_precision(config, choose_device(args.device)).precision,
        compiled=args.compiled,
        device=args.device,
    )
    return replace(
        preset,
        recipe=recipe,
        training=training,
        validation=ValidationConfig(draws=args.draws if args.dice_after else 0),
    )


def maps_of(args: argparse.Namespace) -> MapsSource:
    """Return label maps and their list."""
    from synthseg_core.synth.maps import read_labels

    labels = read_labels("generation_54", Experiment.preset(args.preset).recipe)
    return MapsSource([args.maps], labels, [args.held_out] if args.held_out else [])


def steps_of(prepared: Prepared, device: torch.device, seconds: float) -> tuple[float, int]:
    """Return the median seconds of a step, samples included, and the number of weights."""
    config = prepared.config
    state = new_state(config, device)
    model = torch.compile(state.net) if config.compiled else state.net
    ahead = Ahead(prepared.source, device)

    def step(number: int) -> None:
        following = [seeds(number + 1, prepared)]
        meanwhile = (lambda: ahead.prepare(following)) if device.type == "cuda" else (lambda: None)
        train_step(state, config, model, ahead, [seeds(number, prepared)], meanwhile)  # type: ignore[arg-type]

    with fixed_shapes():
        return median_s(step, seconds, device), sum(value.numel() for value in state.net.parameters())


def seeds(number: int, prepared: Prepared) -> list[int]:
    """Return the seeds of a step's samples."""
    batch = prepared.config.batch_size
    return list(range(number * batch, (number + 1) * batch))


def median_s(action, seconds: float, device: torch.device) -> float:
    """Return the median time of an action that is repeated for some seconds, three times at least."""
    times: list[float] = []
    for number in range(10**9):
        begin = time.perf_counter()
        action(number)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
        if number >= 2 * _WARM_UPS - 1 and sum(times[_WARM_UPS:]) > seconds:
            break
    return statistics.median(times[_WARM_UPS:])


def score(prepared: Prepared, args: argparse.Namespace) -> dict[str, object]:
    """Train with a time budget, as users do, and return the Dice of the end."""
    quiet = Intervals(log=100, checkpoint=10**9, validate=0, snapshot=0)
    stages = tuple(replace(stage, steps=10**7) for stage in prepared.config.stages)
    config = replace(prepared.config, budget_s=parse_duration(args.dice_after), stages=stages, intervals=quiet)
    with tempfile.TemporaryDirectory() as folder:
        outcome = run_training(config, prepared.source, Path(folder), validate=prepared.validate)
    return {"budget": args.dice_after, "steps": outcome.step, "dice": outcome.best_score}


def peak_gb(device: torch.device) -> float:
    """Return the peak memory of a GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def network_shape(text: str) -> tuple[int, int]:
    """Return features and levels from ``16x5``."""
    features, levels = text.split("x")
    return int(features), int(levels)


def main() -> int:
    """Run the benchmark: every network with every crop, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, required=True, help="label maps: a folder or a packed file")
    parser.add_argument("--held-out", type=Path, help="label maps for scores")
    parser.add_argument("--preset", choices=preset_names(), default="default_1mm")
    parser.add_argument("--networks", type=network_shape, nargs="+", default=[(16, 5)], metavar="FxL")
    parser.add_argument("--crops", type=int, nargs="+", default=[128], metavar="N")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--seconds", type=float, default=20.0, help="of steps, for each network")
    parser.add_argument("--dice-after", metavar="TIME", help="train each network for so long and score it")
    parser.add_argument("--draws", type=int, default=8, help="scans of a score")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if len(args.networks) == len(args.crops) == 1:
        use_threads(args.threads)
        print(json.dumps(measured(args.networks[0], args.crops[0], args)), flush=True)
        return 0
    runs = [
        subprocess.run(
            [
                sys.executable,
                __file__,
                *same_words(args),
                "--networks",
                f"{network[0]}x{network[1]}",
                "--crops",
                str(crop),
            ]
        )
        for network in args.networks
        for crop in args.crops
    ]
    return max(run.returncode for run in runs)


def same_words(args: argparse.Namespace) -> list[str]:
    """Return the flags that all networks share."""
    pairs = {"--held-out": args.held_out, "--batch-size": args.batch_size, "--dice-after": args.dice_after}
    pairs |= {"--maps": args.maps, "--preset": args.preset, "--seconds": args.seconds, "--draws": args.draws}
    pairs |= {"--device": args.device, "--threads": args.threads}
    words = [word for flag, value in pairs.items() if value is not None for word in (flag, str(value))]
    return [*words, *(["--compiled"] if args.compiled else [])]


if __name__ == "__main__":
    sys.exit(main())
