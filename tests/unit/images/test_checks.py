"""Checks of headers and values, each on numbers that a person can verify."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthseg_core.errors import GeometryError, InputError
from synthseg_core.images.checks import (
    Forms,
    check_contrast,
    check_voxel_size,
    coverage,
    form_conflict,
    no_contrast,
    replace_non_finite,
    report_non_finite,
    shear,
    size_conflict,
    unit_in_mm,
)
from tests.phantoms.scans import oblique_affine

SCAN = Path("scan.nii.gz")


@pytest.mark.parametrize(
    ("sizes", "unit", "factor", "said"),
    [
        ((1.0, 1.0, 5.0), "mm", 1, ""),
        ((1.0, 1.0, 5.0), "unknown", 1, ""),
        ((900.0, 900.0, 1200.0), "unknown", 1, ""),
        ((0.001, 0.001, 0.005), "meter", 1000, "the header's unit is meter; its lengths are read as such"),
        ((900.0, 900.0, 1200.0), "micron", 0.001, "the header's unit is micron; its lengths are read as such"),
        ((1.0, 1.0, 5.0), "meter", 1, "unit is meter, but voxels of 1 x 1 x 5 mm are plausible; mm is assumed"),
        ((0.05, 20.0, 1.0), "micron", 1, "mm is assumed"),
    ],
)
def test_units_of_length(sizes, unit, factor, said):
    found, notes = unit_in_mm(sizes, unit)
    assert found == factor
    assert len(notes) == bool(said)
    assert said in "".join(notes)


@pytest.mark.parametrize("sizes", [(1.0, 1.0, 5.0), (0.05, 20.0, 1.0)])
def test_voxel_sizes_of_heads(sizes):
    check_voxel_size(sizes, SCAN)


@pytest.mark.parametrize("sizes", [(1.0, 21.0, 1.0), (1.0, 0.0, 1.0), (1.0, float("nan"), 1.0), (0.04, 1.0, 1.0)])
def test_voxel_sizes_of_no_head(sizes):
    with pytest.raises(GeometryError, match=r"expected 0.05 to 20 mm; correct the voxel sizes in the header, or their"):
        check_voxel_size(sizes, SCAN)


def test_size_conflict_beyond_rounding():
    assert size_conflict((1.0, 1.0, 2.5), (1.0, 1.005, 2.5)) == []
    assert "1 x 1 x 2.5 mm, but its affine says 1 x 1 x 3 mm" in size_conflict((1.0, 1.0, 2.5), (1.0, 1.0, 3.0))[0]


def test_forms_that_agree_or_are_alone_say_nothing():
    affine = oblique_affine((1.0, 1.2, 2.0))
    assert form_conflict(Forms(affine, affine), (11, 13, 17)) == []
    assert form_conflict(Forms(affine, None), (11, 13, 17)) == []
    assert form_conflict(Forms(None, affine), (11, 13, 17)) == []


def test_forms_that_disagree():
    """Two millimetres beside each other; then one mirrored along its first axis, which has 11 voxels of 1 mm."""
    plain = np.eye(4)
    moved = plain.copy()
    moved[0, 3] = 2.0
    assert "differ by up to 2.0 mm and by 0.0 degrees" in form_conflict(Forms(plain, moved), (11, 13, 17))[0]
    mirrored = np.diag([-1.0, 1.0, 1.0, 1.0])
    assert "differ by up to 20.0 mm and one mirrors the other" in form_conflict(Forms(plain, mirrored), (11, 13, 17))[0]


def test_forms_that_are_worlds_apart():
    far = np.eye(4)
    far[0, 3] = 1e30
    assert "differ by more than 10 m and by 0.0 degrees" in form_conflict(Forms(np.eye(4), far), (11, 13, 17))[0]


def test_no_form_at_all():
    assert "left and right cannot be known" in form_conflict(Forms(None, None), (11, 13, 17))[0]


@pytest.mark.parametrize("degrees", [0.0, 0.4, 10.0, -20.0])
def test_shear_of_a_tilted_gantry(degrees):
    affine = np.eye(4)
    affine[:3, 2] = [0.0, np.sin(np.radians(degrees)), np.cos(np.radians(degrees))]
    affine[:3, 2] *= 5.0
    warnings = shear(affine)
    assert len(warnings) == (abs(degrees) > 0.5)
    assert f"{abs(degrees):.1f} degrees" in "".join(warnings) or not warnings


@pytest.mark.parametrize(
    ("shape", "sizes", "said"),
    [
        ((160, 200, 180), (1.0, 1.0, 1.0), ""),
        ((256, 256, 8), (1.0, 1.0, 6.0), "only 8 slices (48 mm) along axis 3"),
        ((1, 256, 256), (5.0, 1.0, 1.0), "only 1 slice (5 mm) along axis 1"),
        ((40, 256, 256), (1.0, 1.0, 1.0), "40 x 256 x 256 mm is smaller than a brain"),
    ],
)
def test_coverage(shape, sizes, said):
    warnings = coverage(shape, sizes)
    assert len(warnings) == bool(said)
    assert said in "".join(warnings)


def test_non_finite_voxels_become_the_smallest_finite_value():
    data = np.arange(24, dtype=np.float64).reshape(2, 3, 4) - 5
    data[0, 0, 1], data[1, 2, 3], data[1, 0, 0] = np.nan, np.inf, -np.inf
    assert "3 of 24 voxels (12 %) are NaN or infinite and kept" in report_non_finite(data)[0]
    assert "3 of 24 voxels (12 %) are NaN or infinite; replaced by -5" in replace_non_finite(data, SCAN)[0]
    assert data[0, 0, 1] == data[1, 2, 3] == data[1, 0, 0] == -5
    assert replace_non_finite(data, SCAN) == report_non_finite(data) == []


def test_no_finite_voxel_is_no_scan():
    with pytest.raises(InputError, match="no finite voxel"):
        replace_non_finite(np.full((2, 3, 4), np.nan), SCAN)


def test_contrast():
    flat = np.full((2, 3, 4), 7.0)
    assert no_contrast(flat) == ["every voxel is 7: the scan holds no anatomy"]
    with pytest.raises(InputError, match="7 in every voxel"):
        check_contrast(flat, SCAN)
    flat[0, 0, 0] = 8
    assert no_contrast(flat) == []
    check_contrast(flat, SCAN)
