"""Dice by label: cubes and balls that can be worked out by hand, absent labels, voxels left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from synthseg_core.errors import GeometryError
from synthseg_core.evaluation.overlap import dice_by_label, overlap


def box(*spans: tuple[int, int], shape=(20, 20, 20)) -> np.ndarray:
    volume = np.zeros(shape, dtype=np.int32)
    volume[tuple(slice(*span) for span in spans)] = 7
    return volume


def ball(radius: int, centre: tuple[int, int, int]) -> np.ndarray:
    i, j, k = np.indices((40, 40, 40)) - np.reshape(centre, (3, 1, 1, 1))
    return np.where(i**2 + j**2 + k**2 <= radius**2, 7, 0)


CUBE = box((5, 11), (5, 11), (5, 11))
WITH_A_VOXEL = CUBE + box((17, 18), (17, 18), (17, 18))

# Rows E1 to E10 of the project's table of numeric examples, computed apart from this program.
EXAMPLES = {
    "E1 itself": (CUBE, CUBE, 1),
    "E2 shifted by 1": (CUBE, box((6, 12), (5, 11), (5, 11)), 0.8333333),
    "E3 shifted by 3": (CUBE, box((8, 14), (5, 11), (5, 11)), 0.5),
    "E4 shifted on all axes": (CUBE, box((6, 12), (6, 12), (6, 12)), 0.5787037),
    "E5 larger": (CUBE, box((4, 12), (4, 12), (4, 12)), 0.5934066),
    "E6 apart": (CUBE, box((13, 19), (5, 11), (5, 11)), 0),
    "E7 a voxel more": (CUBE, WITH_A_VOXEL, 0.9976905),
    "E8 two voxels": (box((5, 6), (5, 6), (5, 6)), box((8, 9), (9, 10), (5, 6)), 0),
    "E9 balls shifted by 1": (ball(10, (20, 20, 20)), ball(10, (21, 20, 20)), 0.923963),
    "E10 balls of two sizes": (ball(10, (20, 20, 20)), ball(12, (20, 20, 20)), 0.736442),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_examples(name):
    first, second, expected = EXAMPLES[name]
    assert dice_by_label(first, second, [7])[0] == pytest.approx(expected, abs=1e-6)


def test_several_labels_as_the_reference_counts_them():
    first, second = np.array([[[0, 1], [1, 2]]]), np.array([[[0, 1], [2, 2]]])
    found = overlap(first, second, (0, 1, 2, 3))
    np.testing.assert_allclose(found.reference_dice, [0.999995, 0.6666644, 0.6666644, 0], atol=1e-7)
    np.testing.assert_allclose(found.dice, [1, 2 / 3, 2 / 3, np.nan])
    reordered = overlap(first, second, (2, 0, 1))
    np.testing.assert_allclose(reordered.reference_dice, [0.6666644, 0.999995, 0.6666644], atol=1e-7)


def test_absent_from_one_is_0_and_from_both_is_nan():
    found = overlap(CUBE, np.zeros_like(CUBE), (7, 9))
    assert found.dice[0] == 0
    assert np.isnan(found.dice[1])
    assert (found.first.tolist(), found.second.tolist()) == ([216, 0], [0, 0])


def test_voxels_left_out_count_in_neither_map():
    ignore = np.zeros(CUBE.shape, dtype=bool)
    ignore[11] = True  # the plane that the shifted cube has beyond the other
    shifted = box((6, 12), (5, 11), (5, 11))
    found = overlap(CUBE, shifted, [7], ignore)
    assert (found.first[0], found.second[0], found.both[0]) == (216, 180, 180)


def test_other_values_are_counted_as_no_label():
    first = np.array([[[1, 1, 50, 3]]])
    second = np.array([[[1, 50, 1, 9]]], dtype=np.uint8)
    found = overlap(first, second, [1])
    assert (found.first[0], found.second[0], found.both[0]) == (2, 2, 1)


@settings(deadline=None, max_examples=50)
@given(
    maps=arrays.arrays(np.int16, (2, 3, 4, 5), elements=st.integers(0, 6)),
    labels=st.lists(st.integers(0, 8), unique=True, min_size=1),
    ignore=arrays.arrays(bool, (3, 4, 5)),
)
def test_counts_are_those_of_comparing_label_by_label(maps, labels, ignore):
    found = overlap(maps[0], maps[1], labels, ignore)
    for position, label in enumerate(labels):
        a, b = ((one == label) & ~ignore for one in maps)
        assert (found.first[position], found.second[position]) == (a.sum(), b.sum())
        assert found.both[position] == (a & b).sum()


@pytest.mark.parametrize("shapes", [((3, 4, 5), (3, 4, 6), None), ((3, 4, 5), (3, 4, 5), (3, 4, 1))])
def test_maps_of_different_shapes_are_refused(shapes):
    first, second = (np.zeros(shape, int) for shape in shapes[:2])
    with pytest.raises(GeometryError, match="arrays of the shapes"):
        overlap(first, second, [1], None if shapes[2] is None else np.zeros(shapes[2], bool))
