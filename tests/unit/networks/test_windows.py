"""Overlapping windows."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.networks.windows import corners, predict_in_windows


@pytest.mark.parametrize("shape", [(12, 16, 20), (13, 30, 41), (5, 16, 50)])
def test_windows_cover_everything_and_average_to_the_same(shape):
    window = (12, 16, 20)
    image = torch.rand((1, 1, *shape), generator=torch.Generator().manual_seed(1))
    logits = predict_in_windows(lambda x: torch.cat([x, -x], 1), image, window)  # acts on each voxel alone
    torch.testing.assert_close(logits, torch.softmax(torch.cat([image, -image], 1), 1))


def test_windows_overlap_by_half_at_least_and_end_at_the_border():
    starts = sorted({corner[2] for corner in corners((4, 4, 50), (4, 4, 20), 0.5)})
    assert starts == [0, 10, 20, 30]
    assert sorted({corner[0] for corner in corners((31, 4, 4), (10, 4, 4), 0.5)})[-1] == 21
