"""Quality cube and scores: cases worked by hand, with structures smaller and larger than the cube."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.errors import ModelError
from synthseg_core.labels.table import LabelTable
from synthseg_core.segmentation.quality import (
    QualityBox,
    box_edge_voxels,
    one_hot,
    quality_box,
    quality_groups,
    tidy_scores,
)

GROUPS = LabelTable.builtin("qc_2.0")
SEGMENTATION = LabelTable.builtin("segmentation_2.0")


def _channels(shape, **blocks):
    channels = np.zeros(shape, dtype=np.uint8)
    for number, (start, stop) in blocks.items():
        channels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = int(number[1:])
    return channels


def test_small_structures_in_a_small_grid():
    """96 x 128 x 160 voxels; structures of 11, 20 and 31 voxels, so that odd halves are seen."""
    box = quality_box(_channels((96, 128, 160), c3=((40, 50, 60), (51, 70, 91))), 224)
    assert box == QualityBox((0, 0, 0), (96, 128, 160), (67, 52, 37), (61, 44, 27))


def test_cube_inside_a_large_grid():
    box = quality_box(_channels((256, 256, 288), c3=((100, 110, 120), (141, 150, 170))), 224)
    assert box == QualityBox((8, 18, 33), (232, 242, 256 + 1), (0, 0, 0), (0, 0, 0))


def test_structures_larger_than_the_cube_are_cut_at_both_ends():
    box = quality_box(_channels((256, 240, 232), c3=((3, 2, 1), (232, 229, 226))), 224)
    assert box == QualityBox((5, 3, 1), (229, 227, 225), (0, 0, 0), (0, 0, 0))


def test_channel_24_does_not_move_the_cube():
    with_it = _channels((64, 64, 64), c3=((20, 20, 20), (30, 30, 30)), c24=((30, 30, 30), (60, 61, 62)))
    assert quality_box(with_it, 224) == quality_box(np.where(with_it == 24, 0, with_it), 224)
    assert (quality_box(with_it, 224).extract(with_it) == 24).sum() == (with_it == 24).sum()


@pytest.mark.parametrize("shape", [(64, 224, 256), (128, 96, 288)])
def test_nothing_found(shape):
    box = quality_box(np.zeros(shape, dtype=np.uint8), 224)
    assert box.extract(np.zeros(shape, dtype=np.uint8)).shape == (224, 224, 224)
    assert box.start == (0, 0, 0) or min(shape) < 224


def test_extract_keeps_places():
    channels = _channels((32, 40, 48), c5=((3, 4, 5), (13, 14, 15)))
    box = quality_box(channels, 224)
    cube = box.extract(channels)
    assert cube.shape == (224, 224, 224)
    assert cube.dtype == np.uint8
    first = tuple(np.argwhere(cube)[0])
    assert first == tuple(n + b - s for n, b, s in zip((3, 4, 5), box.before, box.start, strict=True))


def test_groups_follow_the_label_table():
    channels = _channels((32, 32, 32), c1=((3, 3, 3), (6, 6, 6)), c16=((10, 10, 10), (12, 12, 12)))
    groups = quality_groups(channels, SEGMENTATION, len(GROUPS), 224)
    assert groups.dtype == np.uint8
    assert np.bincount(groups.ravel(), minlength=9).tolist() == [224**3 - 27, 27, 0, 0, 0, 0, 0, 0, 0]


def test_table_without_groups():
    table = LabelTable("plain", (0, 5), ("background", "thing"), ("neutral", "neutral"), (0, 5))
    with pytest.raises(ModelError, match="plain: found no groups for quality scores; expected a qc_group column"):
        quality_groups(np.zeros((8, 8, 8), dtype=np.uint8), table, 9, 224)


@pytest.mark.parametrize("group", [9, -1])
def test_groups_that_the_network_does_not_know(group):
    table = LabelTable("odd", (0, 5), ("background", "thing"), ("neutral", "neutral"), (0, 5), (), (0, group))
    with pytest.raises(ModelError, match="expected a qc_group column with groups 0 to 8"):
        quality_groups(np.zeros((8, 8, 8), dtype=np.uint8), table, 9, 224)


def test_one_hot():
    groups = np.array([[[0, 2], [1, 1]]], dtype=np.uint8)
    hot = one_hot(groups, 4)
    assert hot.dtype == np.float32
    assert hot.shape == (4, 1, 2, 2)
    np.testing.assert_array_equal(hot.argmax(axis=0), groups)
    np.testing.assert_array_equal(hot.sum(axis=0), 1)


def test_scores_are_named_clipped_and_rounded():
    raw = np.array([0.9, 0.53254, 0.57525, 1.03, -0.2, 0.5, 0.25, 0.125, 0.0], dtype=np.float32)
    scores = tidy_scores(raw, GROUPS)
    assert [score.score for score in scores] == [0.5325, 0.5753, 1.0, 0.0, 0.5, 0.25, 0.125, 0.0]
    assert scores[0].name == "general white matter"
    assert [score.group for score in scores] == list(range(1, 9))


def test_scores_that_do_not_fit_the_table():
    with pytest.raises(ModelError, match="found 9 groups for 5 scores"):
        tidy_scores(np.zeros(5), GROUPS)


@pytest.mark.parametrize(
    ("voxel_size_mm", "halvings", "edge"), [(1.0, 4, 224), (2.0, 4, 112), (3.0, 4, 80), (4.0, 2, 56)]
)
def test_the_cube_has_the_size_of_the_published_one_whatever_the_voxels(voxel_size_mm, halvings, edge):
    assert box_edge_voxels(voxel_size_mm, halvings) == edge
