"""Largest component against the plain definition, over random masks."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from synthseg_core.segmentation.components import bounding_box, largest_component
from tests.phantoms.scans import all_orientations

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6))


@given(MASKS)
@settings(deadline=None)
def test_equals_the_definition(mask):
    labels, count = ndimage.label(mask)
    sizes = [int((labels == number).sum()) for number in range(1, count + 1)]
    expected = labels == 1 + sizes.index(max(sizes)) if sizes else np.zeros_like(mask)
    np.testing.assert_array_equal(largest_component(mask), expected)


@given(MASKS, st.sampled_from(all_orientations()))
@settings(deadline=None)
def test_with_a_centre_it_commutes_with_every_axis_order(mask, orientation):
    middle = tuple((n - 1) / 2 for n in mask.shape)
    assume(winner_is_unique(mask, middle))
    axes, flips = orientation

    def reorder(array):
        return array.transpose(axes)[tuple(slice(None, None, -1 if flip else None) for flip in flips)]

    moved = largest_component(reorder(mask), tuple(middle[axis] for axis in axes))
    np.testing.assert_array_equal(moved, reorder(largest_component(mask, middle)))


@given(MASKS)
@settings(deadline=None)
def test_keeping_twice_changes_nothing(mask):
    once = largest_component(mask)
    np.testing.assert_array_equal(largest_component(once), once)
    assert not (once & ~mask).any()


@given(MASKS)
@settings(deadline=None)
def test_bounding_box_holds_all_and_touches_all_faces(mask):
    box = bounding_box(mask)
    if box is None:
        assert not mask.any()
        return
    assert mask[box].sum() == mask.sum()
    for axis in range(3):
        inside = np.moveaxis(mask[box], axis, 0)
        assert inside[0].any()
        assert inside[-1].any()


def winner_is_unique(mask, middle) -> bool:
    """Say whether size and distance decide; two components that tie in both go by array order."""
    labels, count = ndimage.label(mask)
    ranks = []
    for number in range(1, count + 1):
        voxels = np.argwhere(labels == number)
        ranks.append((-len(voxels), ((voxels - middle) ** 2).sum()))
    return not ranks or ranks.count(min(ranks)) == 1
