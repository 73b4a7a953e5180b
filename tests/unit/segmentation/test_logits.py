"""Logits become label maps, posteriors and sums, on any grid over the scan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synthseg_core.images.affines import Orientation, closest_ras, unit_columns
from synthseg_core.images.grids import Grid, centred_grid
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.nnunet_plan import NnUNetPlan
from synthseg_core.segmentation.logits import Logits
from synthseg_core.segmentation.nnunet import planned_record
from tests.phantoms.scans import phantom, reoriented

TABLE = LabelTable("t", (0, 5, 3), ("background", "a", "b"), ("neutral",) * 3, (0, 5, 3))
PLAN = NnUNetPlan((1.0, 1.0, 1.0), (8, 8, 8), transpose=(1, 2, 0), orientation="RAS")
BOX = (slice(2, 10), slice(0, 9), slice(1, 8))  # RAS, of 11 x 9 x 10 voxels


def _logits(scale: int = 1, seed: int = 0, dtype=np.float32, axes=(0, 1, 2), flips=(False, True, False)) -> Logits:
    """Random logits over a box of a scan that is stored in another order than RAS."""
    volume = reoriented(phantom((1.0, 1.0, 1.0), (11, 9, 10), degrees=6), axes, flips)
    orientation = closest_ras(unit_columns(volume.affine))
    shape = tuple(scale * (part.stop - part.start) for part in BOX)
    record = planned_record(volume, orientation, BOX, shape)
    values = np.random.default_rng(seed).normal(0, 3, (3, *shape)).astype(dtype)
    order = PLAN.axes
    box = tuple(BOX[axis] for axis in order)
    return Logits(values.transpose(0, *(1 + axis for axis in order)), PLAN, (1.0, 1.0, 1.0), box, record, TABLE)


def _ras(logits: Logits) -> np.ndarray:
    return np.moveaxis(logits._ras(np.moveaxis(logits.values, 0, -1)), -1, 0)


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values.astype(float) - values.max(axis=0))
    return powers / powers.sum(axis=0)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_label_map_on_the_scan(axes):
    """Without a change of voxels it is the argmax in the box, background elsewhere."""
    logits = _logits(axes=axes)
    expected = np.zeros((11, 9, 10), int)
    expected[BOX] = np.array(TABLE.labels)[_ras(logits).argmax(axis=0)]
    found = logits.label_map_on(logits.record.source)
    assert found.data.dtype == np.int32
    np.testing.assert_array_equal(logits.record.orientation.to_ras(found.data), expected)
    np.testing.assert_array_equal(found.affine, logits.record.source.affine)


def test_the_first_label_wins_ties():
    logits = _logits(dtype=np.float16)
    flat = replace(logits, values=np.full_like(logits.values, 0.25))
    assert not flat.label_map_on(flat.record.source).data.any()
    assert not flat.class_map.any()


def test_half_precision_is_kept_on_the_way():
    """Logits that differ by less than half numbers do after interpolation are equal: the first one wins."""
    logits = _logits(2, dtype=np.float16)
    values = np.zeros_like(logits.values)
    values[0], values[1] = np.float16(1000), np.float16(1000)
    values[1, ::2] = np.nextafter(np.float16(1000), np.float16(2000))  # 1000.5, in between 1000.25
    exact = replace(logits, values=values)
    assert not exact.label_map_on(exact.record.source).data.any()
    single = replace(logits, values=values.astype(np.float32))
    assert single.label_map_on(single.record.source).data.any()


def test_posteriors_and_their_sums():
    logits = _logits(2, dtype=np.float16)
    expected = _softmax(_ras(logits))
    np.testing.assert_allclose(logits.posteriors, expected, atol=1e-6)
    np.testing.assert_allclose(logits.soft_voxels(), expected.sum(axis=(1, 2, 3)), rtol=1e-6)
    np.testing.assert_array_equal(logits.class_map, expected.argmax(axis=0))


@pytest.mark.parametrize("size", [0.7, 1.6])
def test_other_grids(size):
    """Posteriors add up to one, agree with the label map, and are background outside the box."""
    logits = _logits(2)
    source = logits.record.source
    grid = centred_grid(source.shape, source.affine, size)
    channels = np.stack(list(logits.posteriors_on(grid)))
    np.testing.assert_allclose(channels.sum(axis=0), 1, atol=1e-5)
    found = logits.label_map_on(grid).data
    np.testing.assert_array_equal(found, np.array(TABLE.labels)[channels.argmax(axis=0)])
    centres = [
        (n - 1) / 2 + (np.arange(m) - (m - 1) / 2) * step
        for n, m, step in zip(source.shape, grid.shape, grid.step, strict=True)
    ]
    box = [BOX[0], slice(9 - BOX[1].stop, 9 - BOX[1].start), BOX[2]]  # the second axis is turned around
    inside = [(c >= b.start - 0.5) & (c <= b.stop - 0.5) for c, b in zip(centres, box, strict=True)]
    outside = ~(inside[0][:, None, None] & inside[1][:, None] & inside[2])
    assert outside.any()
    assert (channels[0][outside] == 1).all()
    assert not found[outside].any()


def test_the_network_grid_is_a_grid_like_others():
    logits = _logits(2)
    channels = np.stack(list(logits.posteriors_on(logits.record.grid)))
    expected = np.moveaxis(logits.record.to_source_order(logits.posteriors), 0, 0)
    np.testing.assert_allclose(channels, expected, atol=1e-6)


def test_sheared_scans():
    """At 1 mm on perpendicular axes: background outside, the same labels where both grids agree."""
    volume = phantom((1.0, 1.0, 1.0), (11, 9, 10))
    sheared = volume.affine.copy()
    sheared[:3, 2] += 0.2 * sheared[:3, 1]
    orientation = Orientation((0, 1, 2), (False, False, False))
    record = planned_record(type(volume)(volume.data, sheared), orientation, BOX, tuple(p.stop - p.start for p in BOX))
    logits = replace(_logits(), record=record)
    grid: Grid = record.isotropic_grid(1.0)
    found = logits.label_map_on(grid).data
    assert set(np.unique(found)) <= {0, 3, 5}
    assert 0.2 < (found != 0).mean() < 0.6
    np.testing.assert_allclose(np.sum(list(logits.posteriors_on(grid)), axis=0), 1, atol=1e-5)
