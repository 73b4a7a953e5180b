"""Worked cases of orientation and voxel size; the general claims are in tests/properties/test_geometry.py."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.errors import GeometryError
from synthseg_core.images.affines import (
    Orientation,
    check_affine,
    closest_ras,
    is_sheared,
    perpendicular_axes,
    shear_degrees,
    shear_factor,
    voxel_size,
)
from tests.phantoms.scans import oblique_affine, tilted_affine

DATA = np.arange(24).reshape(2, 3, 4)


def _affine(*columns, origin=(0, 0, 0)):
    return np.vstack([np.column_stack([*columns, origin]), [0, 0, 0, 1]]).astype(float)


X, Y, Z = np.eye(3)
# name: (affine, axes, flips)
ORIENTATIONS = {
    "RAS": (_affine(X, Y, Z), (0, 1, 2), (False, False, False)),
    "LAS": (_affine(-X, Y, Z), (0, 1, 2), (True, False, False)),
    "PIR": (_affine(-Y, -Z, X), (2, 0, 1), (False, True, True)),
    "LIA": (_affine(-X, -Z, Y), (0, 2, 1), (True, False, True)),
    "zoomed": (_affine(0.5 * Y, 2 * X, 3 * Z), (1, 0, 2), (False, False, False)),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_orientation_by_hand(name):
    affine, axes, flips = ORIENTATIONS[name]
    assert closest_ras(affine) == Orientation(axes, flips)


def test_to_ras_permutes_then_reverses():
    orientation = Orientation((2, 0, 1), (False, True, True))
    expected = np.array([[[DATA[1 - j, 2 - k, i] for k in range(3)] for j in range(2)] for i in range(4)])
    np.testing.assert_array_equal(orientation.to_ras(DATA), expected)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_from_ras_undoes_to_ras(name):
    orientation = closest_ras(ORIENTATIONS[name][0])
    np.testing.assert_array_equal(orientation.from_ras(orientation.to_ras(DATA)), DATA)


def test_channels_stay_last():
    orientation = Orientation((2, 0, 1), (False, True, True))
    channels = np.stack([DATA, -DATA], axis=-1)
    np.testing.assert_array_equal(orientation.to_ras(channels)[..., 1], -orientation.to_ras(DATA))
    np.testing.assert_array_equal(orientation.from_ras(orientation.to_ras(channels)), channels)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_affine_to_ras_keeps_every_voxel_where_it_was(name):
    affine = ORIENTATIONS[name][0] + np.pad([[5.0], [-7], [3]], ((0, 1), (3, 0)))
    orientation = closest_ras(affine)
    ras = orientation.affine_to_ras(affine, DATA.shape)
    values = orientation.to_ras(DATA)
    for index in np.ndindex(DATA.shape):
        world = affine @ [*index, 1]
        found = np.rint(np.linalg.solve(ras, world)[:3]).astype(int)
        assert values[tuple(found)] == DATA[index]
        np.testing.assert_allclose(ras @ [*found, 1], world, atol=1e-12)


def test_an_axis_claimed_twice_leaves_the_rest_to_the_last():
    # Inverse with the first voxel axis largest for world x and for world y.
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.inv([[3.0, 2.5, 0.0], [2.0, -2.0, 0.1], [0.0, 0.5, 1.0]])
    assert closest_ras(affine).axes == (0, 1, 2)


def test_voxel_size_of_an_oblique_grid():
    assert voxel_size(oblique_affine((0.7, 1.2, 4.0), degrees=33)) == pytest.approx((0.7, 1.2, 4.0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_affine_is_refused(value):
    affine = oblique_affine()
    affine[1, 3] = value
    with pytest.raises(GeometryError, match=r"scan.nii: found an affine with NaN or infinite entries"):
        check_affine(affine, "scan.nii")


@pytest.mark.parametrize("columns", [(X, X, Z), (X, Y, 0 * Z), (X, Y, X + Y), (0 * X, 0 * Y, 0 * Z)])
def test_singular_affine_is_refused(columns):
    with pytest.raises(GeometryError, match="singular"):
        check_affine(_affine(*columns), "scan.nii")


def test_small_and_large_voxels_are_not_singular():
    check_affine(oblique_affine((1e-3, 1e-3, 1e-3)), "scan.nii")
    check_affine(oblique_affine((0.1, 500.0, 1e3)), "scan.nii")


@pytest.mark.parametrize("degrees", [0, 0.4, 10, 20, -30])
def test_shear(degrees):
    affine = tilted_affine((0.5, 0.6, 5.0), degrees)
    assert shear_degrees(affine) == pytest.approx(abs(degrees), abs=1e-6)
    assert is_sheared(affine) == (abs(degrees) > 0.5)
    assert shear_factor(affine) == pytest.approx(np.cos(np.deg2rad(degrees)))
    assert shear_factor(affine) * np.prod(voxel_size(affine)) == pytest.approx(abs(np.linalg.det(affine[:3, :3])))


def test_perpendicular_axes_are_as_near_as_can_be():
    """Half of the tilt falls to each of the two axes; axes that are perpendicular already are kept."""
    affine = tilted_affine(degrees=20)
    axes = perpendicular_axes(affine)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    cosines = (axes * affine[:3, :3] / voxel_size(affine)).sum(axis=0)
    np.testing.assert_allclose(np.degrees(np.arccos(np.minimum(cosines, 1))), [0, 10, 10], atol=1e-5)
    plain = oblique_affine((1.0, 2.0, 3.0))
    np.testing.assert_allclose(perpendicular_axes(plain), plain[:3, :3] / (1, 2, 3), atol=1e-12)
