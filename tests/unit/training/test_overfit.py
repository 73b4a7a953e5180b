"""One real label map, one sample, sixty steps: both losses fall as far as they did when this was first measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthseg_core.networks.config import UNetConfig
from synthseg_core.synth import BrainGenerator, read_recipe
from synthseg_core.synth.maps import read_maps
from synthseg_core.training.config import Intervals, OptimiserConfig, Stage, TrainConfig
from synthseg_core.training.log import read_rows
from synthseg_core.training.loop import run_training

PARAMETERS = 88_709
_FAST = pytest.mark.skipif(
    not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()),
    reason="a processor that emulates bfloat16 takes minutes",
)


class Fixed:
    """Gives the same sample whatever is asked for."""

    def __init__(self, generator: BrainGenerator, seed: int) -> None:
        self.sample = generator.batch([seed])

    def batch(self, seeds):
        return self.sample


@pytest.mark.slow
@pytest.mark.parametrize("precision", [pytest.param("bfloat16", marks=_FAST), "float32"])
def test_sixty_steps_on_one_sample(test_data, tmp_path, precision):
    path = test_data / "training_label_maps" / "training_seg_01.nii.gz"
    recipe = read_recipe("tiny")
    recipe = replace(recipe, crop=replace(recipe.crop, centre="anywhere", jitter_voxels=0))
    source = Fixed(BrainGenerator(read_maps(path, recipe), recipe), seed=3)  # half brain, half background
    config = TrainConfig(
        network=UNetConfig(out_channels=5, features=8, levels=3),
        stages=(Stage("weighted_l2", 15), Stage("dice", 45)),
        optimiser=OptimiserConfig(learning_rate=1e-3),
        precision=precision,
        device="cpu",
        intervals=Intervals(log=1, checkpoint=1000, validate=0, snapshot=0),
    )
    run_training(config, source, tmp_path)
    rows = read_rows(tmp_path / "log.tsv")
    losses = {stage.loss: [float(row["loss"]) for row in rows if row["stage"] == stage.loss] for stage in config.stages}
    weighted_l2, dice = losses["weighted_l2"], losses["dice"]
    assert weighted_l2[-1] < 0.75 * weighted_l2[0]
    assert np.mean(dice[-3:]) < dice[0] - 0.03
    network = torch.load(tmp_path / "last.pt", weights_only=True)["network"]
    assert sum(v.numel() for name, v in network.items() if "running" not in name and v.ndim) == PARAMETERS
