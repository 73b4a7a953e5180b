"""A volume keeps its affine safe and knows its space."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.images.volume import Volume
from tests.phantoms.scans import oblique_affine


def test_affine_is_a_read_only_copy():
    affine = oblique_affine()
    volume = Volume(np.zeros((2, 3, 4)), affine)
    affine[0, 3] = 99
    assert volume.affine[0, 3] != 99
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 3] = 1


def test_shape_leaves_out_channels():
    assert Volume(np.zeros((2, 3, 4, 5)), np.eye(4)).shape == (2, 3, 4)


def test_voxel_size_comes_from_the_affine():
    assert Volume(np.zeros((2, 3, 4)), oblique_affine((0.9, 1.5, 3.0))).voxel_size == pytest.approx((0.9, 1.5, 3.0))
