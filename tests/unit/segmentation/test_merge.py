"""Head tissues around a brain: who has which voxel, and what the values are called."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.errors import GeometryError, ModelError
from synthseg_core.images.volume import Volume
from synthseg_core.labels.table import LabelTable
from synthseg_core.segmentation.merge import merge_head, merged_meanings
from tests.phantoms.scans import oblique_affine

AFFINE = oblique_affine((1.0, 0.9, 1.2))


def _table(*labels: int) -> LabelTable:
    return LabelTable("t", labels, tuple(f"n{n}" for n in labels), ("neutral",) * len(labels), labels)


def test_the_brain_stays_and_the_head_fills_the_rest():
    brain = np.array([0, 0, 3, 42, 1005, 0]).reshape(1, 2, 3)
    head = np.array([0, 15, 1, 15, 2, 16], np.uint8).reshape(1, 2, 3)
    merged = merge_head(Volume(brain, AFFINE), Volume(head, AFFINE), "seg.nii.gz")
    assert merged.data.ravel().tolist() == [0, 615, 3, 42, 1005, 616]
    assert merged.data.dtype == np.int32
    np.testing.assert_array_equal(merged.affine, AFFINE)


@pytest.mark.parametrize("moved", [True, False])
def test_another_grid_is_refused(moved):
    affine = AFFINE.copy()
    affine[0, 3] += 0.5 * moved
    shape = (2, 3, 4) if moved else (2, 3, 5)
    with pytest.raises(GeometryError, match="seg.nii.gz: found a grid of 2 x 3 4?.*expected the scan's own grid"):
        merge_head(Volume(np.ones(shape), affine), Volume(np.ones((2, 3, 4)), AFFINE), "seg.nii.gz")


def test_meanings():
    found = merged_meanings([_table(0, 42, 3)], _table(0, 2, 1))
    assert [(entry.label, entry.name) for entry in found] == [
        (0, "n0"),
        (3, "n3"),
        (42, "n42"),
        (601, "head: n1"),
        (602, "head: n2"),
    ]
    assert {entry.channel for entry in found} == {None}


@pytest.mark.parametrize(("brain", "head"), [((0, 3), (0, 400)), ((0, 615), (0, 1))])
def test_values_that_may_meet(brain, head):
    with pytest.raises(ModelError, match="head labels up to 399, and no brain label from 600 to 999"):
        merged_meanings([_table(*brain)], _table(*head))
