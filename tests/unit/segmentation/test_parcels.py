"""Parcels of the cortex: sides, loose parcels, empty cortex."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.labels.table import LabelTable
from synthseg_core.quirks import NATIVE, REFERENCE, Quirks
from tests.phantoms.parcels import divide_cortex

PARCELS = LabelTable(
    name="parcels",
    labels=(0, 1001, 1002, 2001, 2002),
    names=("background", "left a", "left b", "right a", "right b"),
    sides=("neutral", "left", "left", "right", "right"),
    counterparts=(0, 2001, 2002, 1001, 1002),
)


def _cortex():
    label_map = np.zeros((2, 3, 4), dtype=np.int32)
    label_map[0] = 3
    label_map[1, :2] = 42
    label_map[1, 2, 0] = 17
    return label_map


def _parcel_posteriors():
    """Right parcels are the most probable everywhere, the left ones differ by 0.1."""
    answer = np.array([0.1, 0.15, 0.05, 0.3, 0.4], dtype=np.float32)
    return np.broadcast_to(answer[:, None, None, None], (5, 2, 3, 4)).copy()


def test_parcels_stay_on_their_side():
    result = divide_cortex(_cortex(), _parcel_posteriors(), PARCELS)
    assert result.label_map.dtype == np.int32
    np.testing.assert_array_equal(result.label_map[0], 1001)
    np.testing.assert_array_equal(result.label_map[1, :2], 2002)
    np.testing.assert_array_equal(result.label_map[1, 2], [17, 0, 0, 0])
    np.testing.assert_allclose(result.soft_voxels, [0, 12 * 0.75, 12 * 0.25, 8 * 3 / 7, 8 * 4 / 7], rtol=1e-6)


def test_loose_parcels_cross_and_count_the_outside():
    result = divide_cortex(_cortex(), _parcel_posteriors(), PARCELS, Quirks(loose_parcels=True))
    np.testing.assert_array_equal(result.label_map[0], 2002)
    np.testing.assert_array_equal(result.label_map[1, 2], [17, 0, 0, 0])
    expected = np.array([0, 0.15, 0.05, 0.3, 0.4]) * (20 / 0.9 + 4 / 1.9)
    np.testing.assert_allclose(result.soft_voxels, expected, rtol=1e-6)


def test_cortex_without_any_parcel():
    answer = _parcel_posteriors()
    answer[1:, 0, 1, 2] = 0
    native = divide_cortex(_cortex(), answer, PARCELS)
    assert native.label_map[0, 1, 2] == 3
    assert np.isfinite(native.soft_voxels).all()
    reference = divide_cortex(_cortex(), answer, PARCELS, REFERENCE)
    assert reference.label_map[0, 1, 2] == 0
    assert np.isnan(reference.soft_voxels[1:]).all()


def test_no_cortex_no_parcels():
    label_map = np.full((2, 3, 4), 17)
    result = divide_cortex(label_map, _parcel_posteriors(), PARCELS)
    np.testing.assert_array_equal(result.label_map, label_map)
    np.testing.assert_array_equal(result.soft_voxels, 0)


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_slabs_give_the_same_as_the_whole(quirks):
    rng = np.random.default_rng(4)
    label_map = rng.choice([0, 3, 42, 17], (6, 5, 7))
    answer = rng.random((5, 6, 5, 7), dtype=np.float32)
    whole = divide_cortex(label_map, answer, PARCELS, quirks)
    slabs = [divide_cortex(label_map[s], answer[:, s], PARCELS, quirks) for s in (slice(0, 2), slice(2, 6))]
    np.testing.assert_array_equal(np.concatenate([slab.label_map for slab in slabs]), whole.label_map)
    np.testing.assert_allclose(sum(slab.soft_voxels for slab in slabs), whole.soft_voxels, rtol=1e-12)


def test_parcellation_leaves_its_input_alone():
    label_map, answer = _cortex(), _parcel_posteriors()
    divide_cortex(label_map, answer, PARCELS)
    np.testing.assert_array_equal(label_map, _cortex())
    np.testing.assert_array_equal(answer, _parcel_posteriors())
