"""A training to be run in a process of its own: FOLDER [--slow] [--ranks] [--muon]; see test_training_processes."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from synthseg_core.training.config import Intervals, OptimiserConfig, Stage
from synthseg_core.training.loop import run_training
from tests.unit.training.training_source import Balls, tiny_config


class Slow(Balls):
    """Leaves time to be killed."""

    def batch(self, seeds):
        time.sleep(0.05)
        return super().batch(seeds)


def main(folder: str, *flags: str) -> None:
    torch.set_num_threads(1)
    if "--ranks" in flags:
        config = tiny_config(batch_size=2, micro_batch=1, stages=(Stage("dice", 3),))
    else:
        config = tiny_config(stages=(Stage("weighted_l2", 8), Stage("dice", 12)), intervals=Intervals(1, 3, 0, 0))
    if "--muon" in flags:
        network = replace(config.network, norm="group", activation="leaky_relu", residual=True)
        config = replace(config, network=network, optimiser=OptimiserConfig("muon", 0.02, clip_norm=5.0))
    source = (Slow if "--slow" in flags else Balls)()
    outcome = run_training(config, source, Path(folder))
    sys.stdout.write(" ".join(map(str, ["seeds", *source.asked, "step", outcome.step])) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
