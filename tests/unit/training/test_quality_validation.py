"""Agreement of predicted and true scores, and its picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthseg_core.training.quality_pairs import Pair
from synthseg_core.training.quality_validation import Agreement, PairValidation, ScorePicture

TRUE = np.array([[0.9, 0.9, 0.9], [0.1, 0.5, 0.9], [0.3, 0.3, 0.3]])
PREDICTED = np.array([[0.0, 0.0, 0.0], [0.2, 0.5, 0.7], [0.2, 0.3, 0.4]])


def test_figures_by_hand():
    found = Agreement(PREDICTED, TRUE)
    np.testing.assert_allclose(found.absolute_error, [0.9, 0.1, 0.2 / 3])
    assert found.mean_absolute_error == pytest.approx((0.1 + 0.2 / 3) / 2)  # without the background
    np.testing.assert_array_equal(found.spearman, [np.nan, 1, np.nan])  # a constant has no ranks
    assert found.mean_spearman == 1
    assert found.text() == "mean absolute error 0.083, rank correlation 1.00"


def test_nothing_to_rank():
    assert np.isnan(Agreement(TRUE[:, :1], TRUE[:, :1]).mean_spearman)


class Share(torch.nn.Module):
    """Answers with the share of each group, times two: more than 1 for the background."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, groups):
        return self.factor * groups.mean((2, 3, 4))


def _pair(seed: int) -> Pair:
    groups = np.zeros((4, 4, 4), np.uint8)
    groups[: 1 + seed % 2] = 1
    return Pair(groups, np.roll(groups, 1, axis=1), np.zeros(2, np.int64))


def test_scores_are_clipped_and_kept_for_the_picture(tmp_path):
    validation = PairValidation(_pair, [0, 1])
    table = validation(Share())
    np.testing.assert_allclose(validation.latest.predicted, [[1, 1], [0.5, 1]])
    np.testing.assert_allclose(validation.latest.true, 1, atol=1e-5)
    np.testing.assert_allclose(table, [[1, 1], [0.5, 1]], atol=1e-5)
    scores = torch.tensor([[0.9, 0.5]])
    ScorePicture(("background", "all"), validation)(tmp_path, torch.zeros(1), scores, scores, "1 - error")
    assert (tmp_path / "snapshot.png").stat().st_size > 5000


def test_without_validation_the_training_sample_is_drawn(tmp_path):
    scores = torch.tensor([[0.9, 0.5]])
    ScorePicture(("background", "all"))(tmp_path, torch.zeros(1), scores, scores, "1 - error")
    assert (tmp_path / "snapshot.png").is_file()
