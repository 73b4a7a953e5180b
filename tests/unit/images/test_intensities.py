"""Padding that was never measured, and values that are no Hounsfield units."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.images.intensities import doubts, impossible_values, lone_values, replace_padding
from synthseg_core.images.reading import read_scan
from synthseg_core.quirks import REFERENCE
from tests.phantoms.headers import VOXELS, nifti_bytes, write_raw

SHAPE = (20, 20, 20)
PADDED = np.s_[:2]  # a tenth
HUGE = float(np.finfo(np.float32).max)


def _scan(low=0.0, high=1500.0) -> np.ndarray:
    return np.random.default_rng(0).uniform(low, high, SHAPE)


def _padded(value, low=0.0, high=1500.0) -> np.ndarray:
    data = _scan(low, high)
    data[PADDED] = value
    return data


@pytest.mark.parametrize("value", [-32768, 32767, 65535, -HUGE, HUGE, -(2.0**31), 1e35])
def test_what_cannot_be_measured_is_replaced(value):
    data = _padded(value)
    rest = data[2:].copy()
    (note,) = replace_padding(data, impossible_values(np.float32))
    assert note.startswith(f"10 % of the voxels are {value:g}, which is no measurement; replaced by ")
    np.testing.assert_array_equal(data[2:], rest)
    assert (data[PADDED] == rest.min()).all()
    assert doubts(data, ct=False) == ()


def test_both_ends():
    data = _padded(-32768)
    data[2:4] = 32767
    assert len(replace_padding(data, impossible_values(np.int16))) == 2
    assert data.max() < 1500


def test_ends_of_a_scaled_type():
    assert impossible_values(np.int16, 0.5, 10)[-2:] == (0.5 * 32767 + 10, -0.5 * 32768 + 10)
    assert 0 not in impossible_values(np.uint16)
    assert 255 not in impossible_values(np.uint8)


@pytest.mark.parametrize("data", [_padded(-1000), _padded(4095), _padded(0, 500), _scan(-32768, 32767), _scan()])
def test_all_else_is_left_as_it_is(data):
    """Values that a scanner may give, and ends of a type that the other values lead up to."""
    before = data.copy()
    assert replace_padding(data, impossible_values(np.int16)) == []
    np.testing.assert_array_equal(data, before)


def test_few_voxels_are_no_padding():
    data = _scan()
    data[0, 0, :5] = -32768
    assert lone_values(data) == []


@pytest.mark.parametrize(
    ("value", "low", "high", "where"),
    [(-1000, 0, 1500, "below"), (4095, 0, 1500, "above"), (-9999, 0, 300, "below"), (-32768, 0, 1500, "below")],
)
def test_padding_is_named_with_what_to_do(value, low, high, where):
    """Not CT: no value lies between the padding and the scan."""
    (line,) = doubts(_padded(value, low, high), ct=False)
    assert line.startswith(f"10 % of the voxels are {value:g}, far {where} all others (")
    assert line.endswith("if that is padding, replace it by the value of the background")


@pytest.mark.parametrize(
    "data",
    [
        *(_scan(), _scan(-400, 300), _scan(-900, -700), _scan(-9000, 9000)),
        *(_padded(0, 800, 1500), _padded(1500), _padded(np.nan), _padded(-np.inf)),
    ],
)
def test_nothing_to_doubt(data):
    assert doubts(data, ct=False) == ()


# --- Hounsfield units ------------------------------------------------------------------------------------------------


def _ct(added=0.0) -> np.ndarray:
    """Half air, a quarter of soft tissue, some fat and bone, noise."""
    rng = np.random.default_rng(0)
    parts = (-1000, 0.5), (40, 0.25), (-90, 0.1), (400, 0.1), (1200, 0.05)
    values = np.concatenate([np.full(round(8000 * share), float(hu)) for hu, share in parts])
    return (values + rng.normal(0, 8, 8000) + added).reshape(SHAPE)


def test_ct_that_nobody_announced():
    (line,) = doubts(_ct(), ct=False)
    assert line.endswith("if this is a CT in Hounsfield units, use --ct")
    assert doubts(_ct(), ct=True) == ()


def test_ct_with_padding():
    """What lies outside the round field of view; below the window of a CT it does no harm."""
    data = _ct()
    data[PADDED] = -3024
    lines = doubts(data, ct=False)
    assert ["padding" in lines[0], "use --ct" in lines[1]] == [True, True]
    assert doubts(data, ct=True) == ()


@pytest.mark.parametrize("added", [1000, 1024])
def test_values_that_were_lifted(added):
    """Noise below 0 included."""
    (line,) = doubts(_ct(added), ct=True)
    assert "lie between 960 and 1130, where bone is in Hounsfield units: were 1000 or 1024 added to them?" in line


def test_ct_without_anything_below_zero():
    assert "no voxel is below 0" in doubts(np.clip(_ct(), 0, 100), ct=True)[0]


# --- from a file -----------------------------------------------------------------------------------------------------


def test_padding_of_a_file(tmp_path):
    """By its number type, scaled; the reference keeps it, with the advice."""
    voxels = VOXELS.copy()
    voxels[:5] = -32768

    def scale(fields):
        fields["scl_slope"], fields["scl_inter"] = 0.25, 3

    path = write_raw(tmp_path / "x.nii.gz", nifti_bytes(scale)[:352] + voxels.tobytes("F"))
    scan = read_scan(path)
    assert scan.warnings == (
        "9.6 % of the voxels are -8189, which is no measurement; replaced by 3, the smallest value of the others",
    )
    np.testing.assert_allclose(scan.volume.data, np.where(voxels < 0, 0, voxels) * 0.25 + 3)
    kept = read_scan(path, quirks=REFERENCE)
    assert kept.volume.data.min() == -8189
    assert "9.6 % of the voxels are -8189, far below all others (3 to" in doubts(kept.volume.data, ct=False)[0]
