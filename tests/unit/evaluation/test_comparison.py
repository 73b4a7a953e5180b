"""Comparing label maps: volumes with their units, groups, masks, absent structures, every orientation alike."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from synthseg_core.errors import GeometryError
from synthseg_core.evaluation.comparison import LabelPair, Options, Structure, compare, single_structures

AFFINE = np.array([[0.0, -1.5, 0, 10], [2.0, 0, 0, -4], [0, 0, 1.2, 3], [0, 0, 0, 1]])
VOXEL_MM3 = 3.6


def maps():
    """Return a reference and a segmentation: label 2 moves by a voxel, 3 is missed, 5 is invented, 9 is in neither."""
    first, second = np.zeros((2, 11, 13, 17), np.int32)
    first[2:6, 2:8, 3:9], second[2:6, 3:9, 3:9] = 2, 2
    first[8:10, 2:4, 3:5] = 3
    second[8:10, 9:12, 12:16] = 5
    return first, second


def one(labels, options=None, ignore=None):
    first, second = maps()
    return compare(LabelPair(first, second, AFFINE, ignore), [Structure("it", labels)], options)[0]


def test_dice_and_volumes():
    found = one((2,))
    assert found.dice == pytest.approx(2 * 120 / 288)
    assert (found.reference_mm3, found.segmentation_mm3) == pytest.approx((144 * VOXEL_MM3, 144 * VOXEL_MM3))
    assert (found.volume_error_mm3, found.volume_similarity, found.remark) == (0, 1, "")
    assert found.distances is not None
    assert found.distances.maximum_mm == pytest.approx(1.5)  # a voxel along the second axis


def test_a_sheared_voxel_has_the_volume_of_its_determinant():
    sheared = AFFINE.copy()
    sheared[:3, 2] += sheared[:3, 0]
    first, second = maps()
    found = compare(LabelPair(first, second, sheared), [Structure("it", (2,))])[0]
    assert found.reference_mm3 == pytest.approx(144 * VOXEL_MM3)


@pytest.mark.parametrize(
    ("label", "dice", "remark", "similarity"),
    [
        (3, 0, "absent in segmentation", 0),
        (5, 0, "absent in reference", 0),
        (9, math.nan, "absent in both", math.nan),
    ],
)
def test_an_absent_structure_has_no_distances_and_says_why(label, dice, remark, similarity):
    found = one((label,))
    assert (found.dice, found.volume_similarity) == pytest.approx((dice, similarity), nan_ok=True)
    assert (found.remark, found.distances) == (remark, None)


def test_volume_error_is_relative_to_the_reference():
    assert one((3,)).volume_error_percent == -100
    assert math.isnan(one((5,)).volume_error_percent)
    assert one((2, 5)).volume_error_percent == pytest.approx(100 * 24 / 144)


@pytest.mark.parametrize("label", [3, 5, 9])
def test_the_reference_gives_absent_structures_the_longest_side_of_the_box(label):
    """The box is ten voxels wider on each side than the labels, and cut at the volume, which is all of it here."""
    found = one((label,), Options(empty="reference"))
    assert found.dice == 0
    assert found.distances is not None
    assert found.distances.maximum_mm == pytest.approx(max(11 * 2.0, 13 * 1.5, 17 * 1.2))


def test_the_reference_adds_a_small_number_below():
    first, second = (np.array(m, np.int32)[None] for m in ([[0, 1], [1, 2]], [[0, 1], [2, 2]]))
    structures = single_structures((0, 1, 2, 3), {})
    found = compare(LabelPair(first, second, np.eye(4)), structures, Options(surfaces=False, empty="reference"))
    assert [a.dice for a in found[1:]] == pytest.approx([0.6666644, 0.6666644, 0], abs=1e-7)
    assert [a.structure.name for a in found] == ["label 0", "label 1", "label 2", "label 3"]


def test_labels_of_a_group_are_one_structure():
    first = np.zeros((5, 6, 7), np.int32)
    first[1:3, 1:3, 1:3], first[3:4, 1:3, 1:3] = 4, 5
    second = np.where(first == 4, 5, np.where(first == 5, 4, 0)).astype(np.int32)
    pair = LabelPair(first, second, np.eye(4))
    group, single = compare(pair, [Structure("both", (4, 5)), Structure("one", (4,))])
    assert (group.dice, single.dice) == (1, 0)
    assert group.distances is not None
    assert group.distances.maximum_mm == 0


def test_masked_voxels_count_on_neither_side():
    first, second = maps()
    ignore = np.zeros(first.shape, bool)
    ignore[:, 2:3] = ignore[:, 8:9] = True
    found = one((2,), ignore=ignore)
    assert found.dice == 1
    assert found.reference_mm3 == pytest.approx(120 * VOXEL_MM3)
    assert found.distances is not None
    assert found.distances.maximum_mm == 0
    assert LabelPair(first, second, AFFINE, second == 5).labels == (2, 3)


def test_all_48_orientations_give_equal_numbers():
    first, second = maps()
    expected = one((2,))
    assert expected.distances is not None
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((slice(None), slice(None, None, -1)), repeat=3):
            turned = [np.transpose(array, axes)[flips] for array in (first, second)]
            affine = AFFINE.copy()
            affine[:3, :3] = AFFINE[:3, list(axes)] * [1 if flip.step is None else -1 for flip in flips]
            found = compare(LabelPair(*turned, affine), [Structure("it", (2,))])[0]
            assert found.distances is not None
            assert found.dice == expected.dice
            assert found.reference_mm3 == pytest.approx(expected.reference_mm3)
            assert vars(found.distances) == pytest.approx(vars(expected.distances))


def test_surfaces_can_be_left_out():
    assert one((2,), Options(surfaces=False)).distances is None


def test_labels_are_those_of_either_map():
    first, second = maps()
    assert LabelPair(first, second, AFFINE).labels == (2, 3, 5)
    assert LabelPair(np.zeros_like(first), np.zeros_like(first), AFFINE).labels == ()


def test_refuses_other_shapes():
    first, second = maps()
    with pytest.raises(GeometryError, match="one shape"):
        LabelPair(first, second[:-1], AFFINE)
