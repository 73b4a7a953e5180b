"""Posteriors that are held as a whole: read on other grids, and summed."""

from __future__ import annotations

import numpy as np

from synthseg_core.images.grids import own_grid
from synthseg_core.labels.table import LabelTable
from synthseg_core.segmentation.conform import ConformConfig, plan
from synthseg_core.segmentation.scores import Posteriors
from tests.phantoms.scans import phantom
from tests.unit.segmentation.planned import scan_of

TABLE = LabelTable("t", (0, 7), ("background", "a"), ("neutral",) * 2, (0, 7))


def test_scores_follow_the_record():
    """A one-voxel structure keeps its place on the scan's own grid, and its sum."""
    volume = phantom((1.0, 1.0, 1.0), (5, 6, 7))
    record = plan(scan_of(volume), ConformConfig())
    posteriors = np.zeros((2, *record.grid_shape), np.float32)
    posteriors[0] = 1
    posteriors[:, 2, 3, 4] = (0.25, 0.75)
    scores = Posteriors(posteriors, record, TABLE)
    found = scores.label_map_on(own_grid(volume.shape, volume.affine)).data
    assert found.sum() == 7
    assert record.orientation.to_ras(found)[2, 3, 4] == 7
    np.testing.assert_allclose(scores.soft_voxels(), [5 * 6 * 7 - 0.75, 0.75])
    background, structure = scores.posteriors_on(record.source)
    np.testing.assert_allclose(background + structure, 1)
