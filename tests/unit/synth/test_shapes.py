"""Grids of a sample: map, crop and output, worked by hand."""

from __future__ import annotations

import pytest

from synthseg_core.errors import UsageError
from synthseg_core.synth.shapes import sample_shape

MAP, EDGES = (11, 13, 17), (1.0, 1.5, 2.0)


def test_everything_is_kept_without_crop():
    shape = sample_shape(MAP, EDGES, None, None, None)
    assert shape.map == shape.crop == shape.output == MAP
    assert shape.voxel_size == EDGES


def test_crop_is_limited_by_the_map_and_lowered_to_a_multiple():
    shape = sample_shape(MAP, EDGES, (8, 20, 15), 4, None)
    assert shape.output == shape.crop == (8, 12, 12)


def test_another_voxel_size():
    """17 voxels of 2 mm are 34 of 1 mm; a crop of 20 of them takes 10 of the map."""
    shape = sample_shape(MAP, EDGES, (10, 12, 20), None, 1.0)
    assert shape.output == (10, 12, 20)
    assert shape.crop == (10, 8, 10)


def test_edges_in_single_precision_count_as_round():
    shape = sample_shape((10, 10, 10), (0.99999994, 1.0, 1.0), None, None, 1.0)
    assert shape.output == (10, 10, 10)


def test_nothing_left():
    with pytest.raises(UsageError, match="at least 32 along every axis"):
        sample_shape(MAP, EDGES, None, 32, None)
