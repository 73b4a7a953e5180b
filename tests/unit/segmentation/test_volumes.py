"""Soft and hard volumes, parcels scaled to their cortex, the order and text of the table."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.errors import GeometryError
from synthseg_core.images.grids import Grid
from synthseg_core.labels.table import LabelTable
from synthseg_core.quirks import REFERENCE
from synthseg_core.segmentation.volumes import (
    StructureVolume,
    VolumeTable,
    hard_volumes,
    parcel_volumes,
    soft_volumes,
    volume_table,
    voxel_volume,
)
from synthseg_core.system.tables import read_tsv

FOUR = LabelTable(
    name="four",
    labels=(0, 7, 2, 90),
    names=("background", "left lobe", "right lobe", "fluid"),
    sides=("neutral", "left", "right", "neutral"),
    counterparts=(0, 2, 7, 90),
)
PARCELS = LabelTable(
    name="parcels",
    labels=(0, 2001, 1001, 1002, 2002),
    names=("background", "right a", "left a", "left b", "right b"),
    sides=("neutral", "right", "left", "left", "right"),
    counterparts=(0, 1001, 2001, 2002, 1002),
)


def test_soft_volumes_by_hand():
    posteriors = np.zeros((2, 2, 3, 4), dtype=np.float32)
    posteriors[1, 0] = 0.5
    posteriors[0] = 1 - posteriors[1]
    np.testing.assert_allclose(soft_volumes(posteriors, 1.0), [18, 6])


def test_soft_volumes_do_not_lose_small_values():
    """2^24 + 1 voxels of probability 1: a float32 sum would stop at 2^24."""
    posteriors = np.broadcast_to(np.float32(1), (1, 257, 257, 257))
    assert soft_volumes(posteriors, 1)[0] == 257**3


def test_single_precision_adds_one_voxel_after_the_other():
    posteriors = np.full((1, 3, 5, 7), 2.0**-24, np.float32)
    posteriors[0, 0, 0, 0] = 1
    assert soft_volumes(posteriors, 1, single_precision=True)[0] == 1
    assert soft_volumes(posteriors[..., ::-1], 1, single_precision=True)[0] > 1
    assert soft_volumes(posteriors, 1)[0] == 1 + 104 * 2.0**-24


def test_soft_volumes_of_nan_are_nan():
    posteriors = np.ones((2, 2, 2, 2), dtype=np.float32)
    posteriors[1, 0, 0, 0] = np.nan
    assert np.isnan(soft_volumes(posteriors, 1)).tolist() == [False, True]


def test_hard_volumes_count_labels_in_channel_order():
    label_map = np.array([[[0, 7, 7], [2, 90, 0]], [[7, 5, 2000], [0, 0, 0]]], dtype=np.int32)
    np.testing.assert_allclose(hard_volumes(label_map, FOUR, 2), [10, 6, 2, 2])


def _grid(*sizes, tilt_degrees=0.0) -> Grid:
    affine = np.diag([*sizes, 1.0])
    angle = np.radians(tilt_degrees)
    affine[1:3, 2] = sizes[2] * np.sin(angle), sizes[2] * np.cos(angle)
    return Grid((4, 5, 6), affine, sizes)


@pytest.mark.parametrize("tilt", [0, 10, 20, 30, -30])
def test_voxel_volume(tilt):
    """A box of the same edges, which the tilt makes lower by its cosine; the reference takes the box."""
    grid = _grid(1.5, 2.0, 0.5, tilt_degrees=tilt)
    assert voxel_volume(grid) == pytest.approx(1.5 * np.cos(np.radians(tilt)))
    assert voxel_volume(grid) == pytest.approx(abs(np.linalg.det(grid.affine[:3, :3])))
    assert voxel_volume(grid, REFERENCE) == 1.5


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_impossible_voxel_sizes_are_refused(bad):
    grid = Grid((4, 5, 6), np.eye(4), (1.0, bad, 2.0))
    with pytest.raises(GeometryError, match="voxel size: found 1 x .* x 2 mm; expected three positive"):
        voxel_volume(grid)


def test_parcels_add_up_to_their_side():
    volumes = parcel_volumes(PARCELS, np.array([99, 1, 2, 6, 3.0]), {"left": 40.0, "right": 10.0})
    np.testing.assert_allclose(volumes, [0, 2.5, 10, 30, 7.5])


def test_parcels_of_a_side_without_any():
    volumes = parcel_volumes(PARCELS, np.array([0, 1, 0, 0, 3.0]), {"left": 0.0, "right": 10.0})
    np.testing.assert_allclose(volumes, [0, 2.5, 0, 0, 7.5])


def test_parcels_of_nan_are_nan():
    volumes = parcel_volumes(PARCELS, np.array([0, 1, np.nan, 1, 3.0]), {"left": 5.0, "right": 10.0})
    assert np.isnan(volumes).tolist() == [False, False, True, True, False]


def test_table_is_in_order_of_labels_total_first():
    table = volume_table((FOUR, [9, 1, 2, 4], [9, 8, 7, 6]), (PARCELS, [0, 1, 2, 3, 4], None), total_intracranial=True)
    assert [row.label for row in table.rows] == [None, 2, 7, 90, 1001, 1002, 2001, 2002]
    assert table.names == (
        *("total intracranial", "right lobe", "left lobe", "fluid", "left a", "left b"),
        *("right a", "right b"),
    )
    assert table.soft_mm3 == (7, 2, 1, 4, 2, 3, 1, 4)
    assert [row.hard_mm3 for row in table.rows] == [21, 7, 8, 6, None, None, None, None]


def test_no_total_when_not_wanted():
    table = volume_table((FOUR, [9, 1, 2, 4], None), total_intracranial=False)
    assert [row.label for row in table.rows] == [2, 7, 90]


def test_total_without_hard_volumes_has_none():
    table = volume_table((FOUR, [9, 1, 2, 4], None), total_intracranial=True)
    assert table.rows[0] == StructureVolume(None, "total intracranial", "neutral", 7.0, None)


def test_text_has_units_and_reads_back(tmp_path):
    table = volume_table((FOUR, [9, 1234.56789, 0, 4], [9, 8, 7, 6]), total_intracranial=True)
    path = tmp_path / "volumes.tsv"
    path.write_text(table.to_tsv())
    rows = read_tsv(path, required=("index", "name", "hemisphere", "soft_volume_mm3", "hard_volume_mm3"))
    assert list(rows[0].values()) == ["n/a", "total intracranial", "n/a", "1238.568", "21.000"]
    assert list(rows[2].values()) == ["7", "left lobe", "left", "1234.568", "8.000"]


def test_text_of_absent_hard_volumes():
    text = VolumeTable((StructureVolume(7, "left lobe", "left", float("nan")),)).to_tsv()
    assert text.splitlines()[1] == "7\tleft lobe\tleft\tnan\tn/a"
