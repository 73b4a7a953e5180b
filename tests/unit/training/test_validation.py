"""Validation: Dice by class, the choice of the best, windows over large volumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthseg_core.networks.unet import UNet
from synthseg_core.training.validation import DrawValidation, dice_by_class, is_better, score_of
from tests.unit.training.training_source import NETWORK, SHAPE, Balls


def _table(*rows: list[float]) -> np.ndarray:
    return np.array([[0.0] * len(rows[0]), *rows])  # the background's row must not matter


def test_score_leaves_out_the_background_and_absent_classes():
    table = np.array([[1.0, 1.0], [0.5, np.nan], [0.25, 0.75]])
    assert score_of(table) == pytest.approx(0.5)
    assert score_of(np.full((3, 2), np.nan)) == 0


def test_best_is_the_largest_mean_over_labels_and_subjects():
    tables = [_table([0.2, 0.4], [0.6, 0.8]), _table([0.5, 0.5], [0.6, 0.6]), _table([0.9, 0.0], [0.9, 0.0])]
    assert [score_of(table) for table in tables] == pytest.approx([0.5, 0.55, 0.45])
    assert is_better(score_of(tables[1]), score_of(tables[0]))
    assert not is_better(score_of(tables[2]), score_of(tables[1]))


def test_the_earliest_of_equals_is_the_best():
    low, high, same = _table([0.1, 0.1]), _table([0.25, 0.75]), _table([0.75, 0.25])
    assert is_better(score_of(high), score_of(low))
    assert not is_better(score_of(same), score_of(high))


def test_a_high_background_cannot_win():
    poor = np.array([[1.0], [0.2]])
    fair = np.array([[0.0], [0.3]])
    assert is_better(score_of(fair), score_of(poor))


def test_dice_by_class_worked_by_hand():
    truth = torch.tensor([0, 0, 1, 1, 2, 2])
    predicted = torch.tensor([0, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(dice_by_class(predicted, truth, 4), [0.4, 0.8, 0.0, np.nan])


def test_the_table_has_a_row_for_each_class_and_a_column_for_each_draw():
    source = Balls()
    table = DrawValidation(source, [5, 6, 7])(UNet(NETWORK).eval())
    assert table.shape == (3, 3)
    assert source.asked == [5, 6, 7]


def test_patch_networks_are_validated_on_whole_volumes():
    net = UNet(NETWORK).eval()
    whole = DrawValidation(Balls(), [3])(net)
    one_window = DrawValidation(Balls(), [3], window=SHAPE)(net)
    np.testing.assert_array_equal(whole, one_window)
    assert DrawValidation(Balls(), [3], window=(8, 8, 12))(net).shape == (3, 1)
