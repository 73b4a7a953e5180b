"""What a training is prepared from: crops and maps that fit."""

from __future__ import annotations

from synthseg_core.synth.recipe import Recipe
from synthseg_core.training.prepare import divisible


def test_crops_suit_the_levels_of_the_network():
    assert divisible(Recipe.preset("tiny"), 4).crop.multiple == 8
    assert divisible(Recipe.preset("official"), 5).crop.multiple == 32
    assert divisible(Recipe.preset("advanced"), 3).crop.multiple == 4
