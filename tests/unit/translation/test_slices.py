"""Slices: what is seen where, for any storage order; there and back; pixels of another size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.errors import UsageError
from synthseg_core.images.volume import Volume
from synthseg_core.translation.slices import PLANE_NAMES, plan_slices
from tests.phantoms.scans import all_orientations, oblique_affine, phantom, reoriented

SHAPES = {"axial": (17, 23, 19), "coronal": (23, 17, 19), "sagittal": (19, 17, 23)}


@pytest.mark.parametrize("plane", PLANE_NAMES)
@pytest.mark.parametrize("order", all_orientations()[::5], ids=str)
def test_slices_are_the_same_in_whatever_order_a_scan_is_stored_and_the_way_back_is_exact(plane, order):
    scan = phantom()
    stored = reoriented(scan, *order)
    slicing = plan_slices(stored, plane, 1.0)
    slices = slicing.slices(stored.data)
    assert slices.shape == SHAPES[plane]
    np.testing.assert_array_equal(slices, plan_slices(scan, plane, 1.0).slices(scan.data))
    np.testing.assert_array_equal(slicing.volume(slices), stored.data)


def test_a_slice_is_seen_as_in_pictures():
    """A dot at the patient's right, front and top: in the corner at the top left of every slice."""
    scan = phantom(degrees=0.0)
    dot = np.zeros(scan.shape, np.float32)
    dot[-1, -1, -1] = 1  # right, front, up
    seen = {name: np.argwhere(plan_slices(scan, name, 1.0).slices(dot))[0].tolist() for name in PLANE_NAMES}
    assert seen == {"axial": [16, 0, 0], "coronal": [22, 0, 0], "sagittal": [18, 0, 0]}


@settings(deadline=None)
@given(
    st.tuples(*[st.floats(0.3, 3)] * 3),
    st.floats(0.4, 2.5),
    st.sampled_from(PLANE_NAMES),
    st.tuples(*[st.integers(1, 9)] * 3),
)
def test_pixels_of_one_size_cover_the_scan_and_a_ramp_comes_back(sizes, spacing, plane, shape):
    volume = Volume(np.empty(shape), oblique_affine(sizes))
    slicing = plan_slices(volume, plane, spacing)
    extents = np.array(slicing.counts) * [spacing if axis != slicing.plane.axis else sizes[axis] for axis in range(3)]
    assert (extents >= np.array(shape) * sizes * (1 - 0.06 / min(sizes)) - 0.01 * spacing).all()
    flat = np.full(shape, 7.0, np.float32)
    np.testing.assert_allclose(slicing.slices(flat), 7, rtol=1e-5)
    np.testing.assert_allclose(slicing.volume(slicing.slices(flat)), flat, rtol=1e-5)
    assert slicing.distance_mm == pytest.approx(sizes[slicing.plane.axis])


def test_finer_pixels_keep_a_ramp():
    volume = Volume(np.empty((12, 10, 5)), np.diag([1.0, 2.0, 4.0, 1.0]))
    ramp = np.broadcast_to(np.arange(10.0)[None, :, None], (12, 10, 5))
    slicing = plan_slices(volume, "axial", 1.0)
    slices = slicing.slices(ramp)
    assert slices.shape == (5, 20, 12)
    np.testing.assert_allclose(slices[0, 1:-1, 0], np.arange(18) * -0.5 + 8.75)
    np.testing.assert_allclose(slicing.volume(slices)[:, 1:-1], ramp[:, 1:-1], atol=1e-12)


@pytest.mark.parametrize(("plane", "spacing"), [("oblique", 1.0), ("axial", 0.0), ("axial", float("nan"))])
def test_impossible_slices(plane, spacing):
    with pytest.raises(UsageError, match="plane: found oblique; expected one of axial|spacing: found (0|nan) mm"):
        plan_slices(phantom(), plane, spacing)
