"""Plans that contradict themselves are refused; their axes are those of arrays as nibabel has them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synthseg_core.errors import ModelError
from synthseg_core.models.nnunet_plan import NnUNetPlan

PLAN = NnUNetPlan((1.0, 0.8, 0.9), (32, 48, 40))


def test_axes_count_from_the_slowest():
    """nnU-Net reads (K, J, I)."""
    assert PLAN.axes == (2, 1, 0)
    assert replace(PLAN, transpose=(2, 0, 1)).axes == (0, 2, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "positive sizes"),
        ({"patch_voxels": (0, 1, 1)}, "positive sizes"),
        ({"transpose": (0, 0, 1)}, "the axes 0, 1, 2"),
        ({"orientation": "LPS"}, "stored or RAS"),
        ({"normalisation": "minmax"}, "zscore or ct"),
        ({"normalisation": "ct", "intensities": {"mean": 1.0}}, "ct without percentile_00_5, percentile_99_5, std"),
    ],
)
def test_contradictions(change, message):
    with pytest.raises(ModelError, match=message):
        replace(PLAN, **change)
