"""Clean-up, label maps and parcels: small cases worked by hand, every refusal, and the memory that is used."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from synthseg_core.errors import ModelError
from synthseg_core.labels.table import LabelTable
from synthseg_core.quirks import NATIVE, REFERENCE
from synthseg_core.segmentation.cleanup import clean_up, label_map_from, unpad
from tests.phantoms.parcels import divide_cortex

SHAPE = (7, 5, 9)
WHOLE = ((0, 0, 0), SHAPE)
# Labels neither contiguous nor ascending; left and right share no class, the neutral structure is not cleaned.
FOUR = LabelTable(
    name="four",
    labels=(0, 7, 2, 90),
    names=("background", "left lobe", "right lobe", "fluid"),
    sides=("neutral", "left", "right", "neutral"),
    counterparts=(0, 2, 7, 90),
    topology_classes=(0, 1, 2, 0),
)
PLAIN = LabelTable("plain", FOUR.labels, FOUR.names, FOUR.sides, FOUR.counterparts)


def _posteriors(shape=SHAPE, **regions):
    """Background everywhere but in the regions: channel_N=[(index, probability), ...]."""
    posteriors = np.zeros((4, *shape), dtype=np.float32)
    for channel, entries in regions.items():
        for index, probability in entries:
            posteriors[(int(channel[-1]), *index)] = probability
    posteriors[0] = 1 - posteriors[1:].sum(axis=0)
    return posteriors


def _block(i=slice(1, 4), j=slice(1, 4), k=slice(2, 6)):
    return i, j, k


@pytest.mark.parametrize("mode", ["topology", "threshold"])
@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_islands_of_the_foreground_vanish(mode, quirks):
    posteriors = _posteriors(c1=[(_block(), 0.9), ((6, 0, 8), 0.8)])
    cleaned = clean_up(posteriors, FOUR, WHOLE, mode, quirks)
    assert cleaned[1, 6, 0, 8] == 0
    assert cleaned[0, 6, 0, 8] == 1
    np.testing.assert_allclose(cleaned[1][_block()], 0.9, rtol=1e-6)


def test_islands_of_a_class_vanish_inside_the_foreground():
    posteriors = _posteriors(c1=[(_block(), 0.6), ((1, 1, 2), 0)], c2=[((1, 1, 2), 0.6), (_block(k=slice(6, 9)), 0.6)])
    cleaned = clean_up(posteriors.copy(), FOUR, WHOLE, "topology")
    assert cleaned[2, 1, 1, 2] == 0
    assert cleaned[0, 1, 1, 2] == 1
    assert clean_up(posteriors, FOUR, WHOLE, "threshold")[2, 1, 1, 2] > 0.5


def test_a_class_loses_what_is_not_above_a_quarter():
    posteriors = _posteriors(c1=[(_block(), 0.25), ((2, 2, 3), 0.6)], c2=[(_block(), 0.25), ((2, 2, 3), 0.1)])
    cleaned = clean_up(posteriors, FOUR, WHOLE, "topology")
    assert np.count_nonzero(cleaned[1]) == 1
    assert not cleaned[2].any()


def test_class_zero_is_only_cut_to_the_foreground():
    posteriors = _posteriors(c1=[(_block(), 0.5)], c3=[((2, 2, 3), 0.01), ((3, 3, 4), 0.01), ((6, 4, 8), 0.2)])
    cleaned = clean_up(posteriors, FOUR, WHOLE, "topology")
    assert np.count_nonzero(cleaned[3]) == 2


def test_threshold_mode_drops_a_fifth_and_less():
    posteriors = _posteriors(c1=[(_block(), 0.5)], c2=[((1, 1, 2), 0.2), ((1, 2, 2), 0.21)])
    cleaned = clean_up(posteriors, FOUR, WHOLE, "threshold")
    assert cleaned[2, 1, 1, 2] == 0
    assert cleaned[2, 1, 2, 2] > 0


def test_components_are_searched_with_the_padding_only_in_topology_mode():
    posteriors = _posteriors(c1=[(_block(k=slice(0, 3)), 0.9), (_block(k=slice(5, 7)), 0.9)])
    pad = ((0, 0, 3), SHAPE)
    assert not label_map_from(clean_up(posteriors.copy(), FOUR, pad, "topology"), FOUR).any()
    assert label_map_from(clean_up(posteriors, FOUR, pad, "threshold"), FOUR).any()


def test_without_clean_up_everything_stays_and_is_normalised():
    posteriors = 3 * np.random.default_rng(0).random((4, *SHAPE), dtype=np.float32)
    expected = posteriors / posteriors.sum(axis=0)
    np.testing.assert_allclose(clean_up(posteriors, PLAIN, WHOLE, "none"), expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["topology", "threshold", "none"])
@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_result_is_a_normalised_view_without_padding(mode, quirks):
    posteriors = np.random.default_rng(1).dirichlet(np.ones(4), SHAPE).astype(np.float32)
    posteriors = np.ascontiguousarray(np.moveaxis(posteriors, -1, 0))
    cleaned = clean_up(posteriors, FOUR, ((1, 0, 2), (6, 4, 9)), mode, quirks)
    assert cleaned.shape == (4, 5, 4, 7)
    assert np.shares_memory(cleaned, posteriors)
    np.testing.assert_allclose(cleaned.sum(axis=0), 1, rtol=1e-6)


@pytest.mark.parametrize("mode", ["topology", "threshold", "none"])
def test_all_background(mode):
    cleaned = clean_up(_posteriors(), FOUR, WHOLE, mode)
    np.testing.assert_array_equal(cleaned[0], 1)
    np.testing.assert_array_equal(cleaned[1:], 0)
    assert not label_map_from(cleaned, FOUR).any()


@pytest.mark.parametrize("index", [(2, 2, 3), (6, 4, 8)])
@pytest.mark.parametrize("mode", ["topology", "threshold"])
def test_voxels_without_any_probability(mode, index):
    posteriors = _posteriors(c1=[(_block(), 0.5)], c2=[((2, 2, 3), 0)])
    posteriors[(slice(None), *index)] = 0
    native = clean_up(posteriors.copy(), FOUR, WHOLE, mode)
    np.testing.assert_array_equal(native[(slice(None), *index)], [1, 0, 0, 0])
    reference = clean_up(posteriors, FOUR, WHOLE, mode, REFERENCE)
    assert np.isnan(reference[(slice(None), *index)]).all()
    assert np.isnan(reference).sum() == 4
    assert label_map_from(reference, FOUR)[index] == 0


@pytest.mark.parametrize("channel", [0, 2])
@pytest.mark.parametrize("mode", ["topology", "threshold", "none"])
def test_nan_is_refused_unless_the_reference_is_copied(mode, channel):
    posteriors = _posteriors(c1=[(_block(), 0.5)])
    posteriors[channel, 2, 2, 3] = np.nan
    with pytest.raises(ModelError, match="NaN or infinity in the answer of the network"):
        clean_up(posteriors.copy(), FOUR, WHOLE, mode)
    copied = clean_up(posteriors, FOUR, WHOLE, mode, REFERENCE)
    assert np.isfinite(copied[:, 2, 2, 4]).all()
    assert label_map_from(copied, FOUR)[2, 2, 3] == 0


def test_infinity_is_refused():
    posteriors = _posteriors(c1=[(_block(), np.inf)])
    with pytest.raises(ModelError, match="expected probabilities; verify the weights file"):
        clean_up(posteriors, FOUR, WHOLE, "topology")


def test_labels_are_those_of_the_table():
    posteriors = _posteriors(c1=[((0, 0, 0), 0.9)], c2=[((1, 0, 0), 0.9)], c3=[((2, 0, 0), 0.9)])
    label_map = label_map_from(posteriors, FOUR)
    assert label_map.dtype == np.int32
    assert [int(label_map[i, 0, 0]) for i in range(4)] == [7, 2, 90, 0]


def test_ties_go_to_the_first_channel():
    posteriors = np.full((4, 1, 1, 1), 0.25, dtype=np.float32)
    assert label_map_from(posteriors, FOUR) == 0


@pytest.mark.parametrize("function", ["clean_up", "label_map_from", "divide_cortex"])
def test_channels_that_do_not_fit_the_table(function):
    three = np.zeros((3, *SHAPE), dtype=np.float32)
    calls = {
        "clean_up": lambda: clean_up(three, FOUR, WHOLE, "none"),
        "label_map_from": lambda: label_map_from(three, FOUR),
        "divide_cortex": lambda: divide_cortex(np.zeros(SHAPE), three, FOUR),
    }
    with pytest.raises(ModelError, match="four: found 4 labels for 3 channels"):
        calls[function]()


def test_unknown_mode():
    with pytest.raises(ModelError, match="found thorough; expected topology or threshold or none"):
        clean_up(_posteriors(), FOUR, WHOLE, "thorough")


def test_topology_needs_classes():
    with pytest.raises(ModelError, match="plain: found no topology classes"):
        clean_up(_posteriors(), PLAIN, WHOLE, "topology")


def test_unpad_takes_leading_axes_as_they_come():
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(unpad(data, ((1, 0, 2), (3, 4, 4))), data[:, 1:3, :, 2:4])
    np.testing.assert_array_equal(unpad(data[0], ((1, 0, 2), (3, 4, 4))), data[0, 1:3, :, 2:4])


@pytest.mark.parametrize("mode", ["topology", "threshold", "none"])
@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_memory_beside_the_posteriors_is_a_few_volumes(mode, quirks):
    """Whatever the number of channels: at most six float32 volumes (0.23 GB for a whole head)."""
    table = LabelTable.builtin("segmentation_2.0")
    shape = (40, 48, 44)
    posteriors = np.random.default_rng(2).random((33, *shape), dtype=np.float32) ** 8
    posteriors[0] = 0.5
    tracemalloc.start()
    cleaned = clean_up(posteriors, table, ((2, 3, 1), (38, 47, 40)), mode, quirks)
    label_map_from(cleaned, table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 4 * np.prod(shape)
