"""What a training is prepared from: crops and maps that fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthseg_core.errors import UsageError
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.recipe import GroupChannelsSpec
from synthseg_core.synth.recipe_file import read_recipe
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.prepare import MapsSource, divisible, prepare


def test_crops_suit_the_levels_of_the_network():
    assert divisible(read_recipe("tiny"), 4).crop.multiple == 8
    assert divisible(read_recipe("official"), 5).crop.multiple == 32
    assert divisible(read_recipe("advanced"), 3).crop.multiple == 4


def test_group_channels_are_refused_before_anything_is_read(tmp_path):
    tiny = Experiment.preset("tiny")
    experiment = replace(tiny, recipe=replace(tiny.recipe, group_channels=GroupChannelsSpec()))
    maps = MapsSource([tmp_path / "absent"], GenerationLabels.builtin())
    with pytest.raises(UsageError, match="recipe: group_channels: found them in a training"):
        prepare(experiment, maps, torch.device("cpu"))
