"""Trainings in processes of their own: killed and resumed, and shared by two."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from synthseg_core.synth.randomness import sample_seed
from synthseg_core.training.checkpoint import read_checkpoint
from synthseg_core.training.config import Stage
from synthseg_core.training.log import read_rows
from synthseg_core.training.loop import run_training
from tests.unit.training.train_small import main
from tests.unit.training.training_source import Balls, tiny_config

ROOT = Path(__file__).parents[3]
SCRIPT = "tests.unit.training.train_small"


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", SCRIPT, *map(str, words)]


def _network(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "last.pt")["network"]


def _wait_for_step(folder: Path, step: int) -> None:
    for _ in range(600):
        if (folder / "last.pt").is_file() and read_checkpoint(folder / "last.pt")["step"] >= step:
            return
        time.sleep(0.05)
    pytest.fail("the training did not get there")


@pytest.mark.parametrize("flags", [(), ("--muon",)])
def test_kill_and_resume_give_the_weights_of_the_uninterrupted_training(tmp_path, flags):
    killed = subprocess.Popen(_command(tmp_path / "killed", "--slow", *flags), env=_environment(), cwd=ROOT)
    _wait_for_step(tmp_path / "killed", 6)
    killed.kill()
    assert killed.wait() == -9
    assert read_checkpoint(tmp_path / "killed" / "last.pt")["step"] < 20
    subprocess.run(_command(tmp_path / "killed", *flags), env=_environment(), cwd=ROOT, check=True, capture_output=True)
    threads = torch.get_num_threads()
    main(str(tmp_path / "whole"), *flags)
    torch.set_num_threads(threads)
    first, second = _network(tmp_path / "killed"), _network(tmp_path / "whole")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [row["loss"] for row in read_rows(tmp_path / "killed" / "log.tsv")] == [
        row["loss"] for row in read_rows(tmp_path / "whole" / "log.tsv")
    ]


def test_two_processes_equal_accumulation_over_two_passes(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", SCRIPT]
    done = subprocess.run(
        [*torchrun, str(tmp_path / "two"), "--ranks"],
        env=_environment(),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("seeds")]
    asked = sorted(int(word) for line in lines for word in line[1:-2])
    assert asked == sorted(sample_seed(0, number) for number in range(6))

    alone = Balls()
    run_training(tiny_config(batch_size=2, micro_batch=1, stages=(Stage("dice", 3),)), alone, tmp_path / "one")
    assert sorted(alone.asked) == asked
    first, second = (dict(_parameters(tmp_path / name)) for name in ("two", "one"))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], atol=2e-5, rtol=1e-4)
    losses = [[float(row["loss"]) for row in read_rows(tmp_path / name / "log.tsv")] for name in ("two", "one")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def _parameters(folder: Path):
    """Weights without running statistics, which are those of each process."""
    return ((name, value) for name, value in _network(folder).items() if "running" not in name and value.ndim)
