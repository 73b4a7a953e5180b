"""Clean-up and volumes over random posteriors: normalisation, left-right symmetry, axis order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from synthseg_core.labels.table import LabelTable
from synthseg_core.quirks import NATIVE, REFERENCE, Quirks
from synthseg_core.segmentation.cleanup import clean_up, label_map_from
from synthseg_core.segmentation.components import largest_component
from synthseg_core.segmentation.volumes import hard_volumes, parcel_volumes, soft_volumes, volume_table
from tests.phantoms.parcels import divide_cortex
from tests.properties.test_components import winner_is_unique

TABLE = LabelTable(
    name="six",
    labels=(0, 3, 10, 24, 42, 49),
    names=("background", "left cortex", "left deep", "fluid", "right cortex", "right deep"),
    sides=("neutral", "left", "left", "neutral", "right", "right"),
    counterparts=(0, 42, 49, 24, 3, 10),
    topology_classes=(0, 1, 2, 0, 3, 4),
)
PARCELS = LabelTable(
    name="parcels",
    labels=(0, 1001, 1002, 2001, 2002),
    names=("background", "left a", "left b", "right a", "right b"),
    sides=("neutral", "left", "left", "right", "right"),
    counterparts=(0, 2001, 2002, 1001, 1002),
)
MODES = st.sampled_from(["topology", "threshold", "none"])
SHAPES = st.tuples(*(st.integers(2, n) for n in (9, 7, 8)))
SEEDS = st.integers(0, 2**32 - 1)


def _posteriors(seed: int, shape, channels: int = 6) -> np.ndarray:
    """Smooth random softmax: blobs with islands, as networks make them."""
    rng = np.random.default_rng(seed)
    logits = np.stack([ndimage.gaussian_filter(rng.normal(0, 1, shape), 0.7) for _ in range(channels)])
    exponentials = np.exp(rng.uniform(4, 14) * logits)
    return (exponentials / exponentials.sum(axis=0)).astype(np.float32)


def _whole(shape):
    return (0, 0, 0), tuple(shape)


def _mirrored(posteriors: np.ndarray, table: LabelTable = TABLE) -> np.ndarray:
    return np.ascontiguousarray(posteriors[list(table.flip_channels), ::-1])


@given(SEEDS, SHAPES, MODES, st.sampled_from([NATIVE, REFERENCE]))
@settings(deadline=None)
def test_channels_sum_to_one_and_volumes_to_the_grid(seed, shape, mode, quirks):
    cleaned = clean_up(_posteriors(seed, shape), TABLE, _whole(shape), mode, quirks)
    np.testing.assert_allclose(cleaned.sum(axis=0), 1, rtol=1e-6)
    soft = soft_volumes(cleaned, 1.98)
    hard = hard_volumes(label_map_from(cleaned, TABLE), TABLE, 1.98)
    grid_mm3 = np.prod(shape) * 1.98
    assert soft.sum() == pytest.approx(grid_mm3, rel=1e-6)
    assert hard.sum() == pytest.approx(grid_mm3)


@given(SEEDS, SHAPES, MODES)
@settings(deadline=None)
def test_mirroring_swaps_left_and_right_to_the_last_bit(seed, shape, mode):
    posteriors = _posteriors(seed, shape)
    assume(_no_symmetric_tie(posteriors))
    mirrored = clean_up(_mirrored(posteriors), TABLE, _whole(shape), mode)
    cleaned = clean_up(posteriors, TABLE, _whole(shape), mode)
    np.testing.assert_array_equal(mirrored, _mirrored(cleaned))
    soft = soft_volumes(cleaned, 1)
    np.testing.assert_allclose(soft_volumes(mirrored, 1), soft[list(TABLE.flip_channels)], rtol=1e-12)


def _no_symmetric_tie(posteriors) -> bool:
    """Tiny grids can hold two components of equal size at equal distance from the middle; no rule can tell them."""
    middle = tuple((n - 1) / 2 for n in posteriors.shape[1:])
    foreground = posteriors[1:].sum(axis=0) > 0.25
    kept = largest_component(foreground, middle)
    classes = [posteriors[channel] > 0.25 for channel in (1, 2, 4, 5)]
    return winner_is_unique(foreground, middle) and all(winner_is_unique(mask & kept, middle) for mask in classes)


@given(SEEDS, SHAPES, st.permutations(range(3)), MODES)
@settings(deadline=None)
def test_volumes_do_not_depend_on_the_order_of_axes(seed, shape, axes, mode):
    cleaned = clean_up(_posteriors(seed, shape), TABLE, _whole(shape), mode)
    moved = cleaned.transpose(0, *(axis + 1 for axis in axes))
    np.testing.assert_allclose(soft_volumes(moved, 1.98), soft_volumes(cleaned, 1.98), rtol=1e-12)
    hard = hard_volumes(label_map_from(cleaned, TABLE), TABLE, 1.98)
    np.testing.assert_array_equal(hard_volumes(label_map_from(moved, TABLE), TABLE, 1.98), hard)


@given(SEEDS, SHAPES, st.booleans())
@settings(deadline=None)
def test_parcels_add_up_to_the_cortex(seed, shape, loose):
    cleaned = clean_up(_posteriors(seed, shape), TABLE, _whole(shape), "threshold")
    soft = soft_volumes(cleaned, 1)
    cortex = {side: soft[channel] for side, channel in TABLE.cortex_channels().items()}
    label_map = label_map_from(cleaned, TABLE)
    assume((label_map == 3).any() and (label_map == 42).any())
    result = divide_cortex(label_map, _posteriors(seed + 1, shape, 5), PARCELS, Quirks(loose_parcels=loose))
    volumes = parcel_volumes(PARCELS, result.soft_voxels, cortex)
    table = volume_table((TABLE, soft, None), (PARCELS, volumes, None), total_intracranial=True)
    by_label = {row.label: row.soft_mm3 for row in table.rows}
    assert by_label[1001] + by_label[1002] == pytest.approx(by_label[3])
    assert by_label[2001] + by_label[2002] == pytest.approx(by_label[42])
    assert by_label[None] == pytest.approx(soft[1:].sum())
    assert not np.isin(result.label_map, (3, 42)).any()
    if not loose:
        np.testing.assert_array_equal(result.label_map // 1000 == 1, label_map == 3)


@given(SEEDS, SHAPES)
@settings(deadline=None)
def test_mirroring_swaps_parcels(seed, shape):
    label_map = np.random.default_rng(seed).choice([0, 3, 10, 42], shape)
    answer = _posteriors(seed, shape, 5)
    swap = np.arange(3000)
    for table in (TABLE, PARCELS):
        swap[list(table.labels)] = table.counterparts
    result = divide_cortex(label_map, answer, PARCELS)
    mirrored = divide_cortex(swap[label_map][::-1], _mirrored(answer, PARCELS), PARCELS)
    np.testing.assert_array_equal(mirrored.label_map, swap[result.label_map][::-1])
    np.testing.assert_allclose(mirrored.soft_voxels, result.soft_voxels[list(PARCELS.flip_channels)], rtol=1e-12)
