"""What a training is prepared from: crops and maps that fit."""

from __future__ import annotations

from synthseg_core.synth.recipe_file import read_recipe
from synthseg_core.training.prepare import divisible


def test_crops_suit_the_levels_of_the_network():
    assert divisible(read_recipe("tiny"), 3).crop.multiple == 8
    assert divisible(read_recipe("official"), 4).crop.multiple == 32
    assert divisible(read_recipe("advanced"), 2).crop.multiple == 4
