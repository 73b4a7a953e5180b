"""Scores without pairs: what changes nothing and what forgets anatomy both do badly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from synthseg_core.translation.validation import (
    Examples,
    grey_distance,
    scores_of,
    translated_examples,
    validation_images,
)
from tests.phantoms.translation import Ellipses, tiny_networks


class Function(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, images):
        return self.change(images)


def _scores(there, back):
    images = validation_images(Ellipses(), "val", 8, 32)
    nets = {"cycle_forward": Function(there), "cycle_backward": Function(back)}
    return scores_of(translated_examples(tiny_networks(), nets, images))


def test_the_right_change_of_contrast_scores_best():
    """Ellipses of -0.8 on 0.4 become 0.8 on -0.7 by a straight line."""
    slope = -1.5 / 1.2
    right = _scores(lambda x: (x - 0.4) * slope - 0.7, lambda x: (x + 0.7) / slope + 0.4)
    nothing = _scores(lambda x: x, lambda x: x)
    forgetful = _scores(lambda x: torch.full_like(x, -0.7), lambda x: torch.full_like(x, 0.4))
    assert right.round_trip_l1 == pytest.approx(0, abs=1e-6)
    assert nothing.round_trip_l1 == 0
    assert nothing.grey_distance > 0.5
    assert forgetful.round_trip_l1 > 0.1
    assert right.distance < 0.3 * min(nothing.distance, forgetful.distance)


def test_grey_distance_of_shifted_values_is_the_shift():
    values = torch.linspace(-0.5, 0.5, 1001)
    assert grey_distance(values, values + 0.3) == pytest.approx(0.3, abs=1e-5)
    assert grey_distance(values, values.flip(0)) == 0


def test_images_are_the_same_each_time_and_spread_evenly():
    first, second = validation_images(Ellipses(number=9), "val", 3, 32)
    assert first.shape == second.shape == (3, 1, 32, 32)
    for place, index in enumerate((0, 4, 8)):
        assert np.array_equal(first[place], Ellipses().image("dark", "val", index)[:, :, 3:35])


def test_examples_of_both_ways():
    images = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    nets = {"cycle_forward": Function(lambda x: x + 1), "cycle_backward": Function(lambda x: x - 3)}
    found: Examples = translated_examples(tiny_networks(), nets, images)
    assert [float(one.mean()) for one in (*found.translated, *found.returned)] == [1, -2, -2, -1]
