"""How pairs are varied: nothing is lost or gained but by the faults and cuts that are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthseg_core.errors import UsageError
from synthseg_core.training import quality_variation
from synthseg_core.training.experiment import PairSpec
from synthseg_core.training.quality_pairs import Pair, group_dice
from synthseg_core.training.quality_variation import partial_view, varied

EDGE, GROUPS = 24, 4
NOTHING = PairSpec(kept=0, fault_probability=0.0, partial_view_probability=0.0)


def _groups(seed: int) -> np.ndarray:
    groups = np.zeros((EDGE, EDGE, EDGE), np.uint8)
    groups[6:18, 5:17, 7:19] = (
        np.random.default_rng(seed).integers(1, GROUPS, (2, 2, 2)).repeat(6, 0).repeat(6, 1).repeat(6, 2)
    )
    return groups


def _pair(seed: int = 0) -> Pair:
    return Pair(_groups(seed), _groups(seed + 1), np.array([0, 3, 0, 2]))


def _total(pair: Pair, groups: np.ndarray) -> np.ndarray:
    return np.bincount(groups.ravel(), minlength=GROUPS)[1:]


def test_nothing_asked_for_nothing_changed():
    pair = _pair()
    same = varied(pair, NOTHING, 2.0, np.random.default_rng(0))
    np.testing.assert_array_equal(same.predicted[same.predicted > 0], pair.predicted[pair.predicted > 0])
    np.testing.assert_allclose(group_dice(same)[1:], group_dice(pair)[1:])


@given(st.integers(0, 200))
def test_true_voxels_are_never_lost(seed):
    """They are in the cube or counted beyond it, whatever happens to the prediction."""
    pair, spec = (
        _pair(seed),
        PairSpec(kept=1, fault_probability=0.0, partial_view_probability=1.0, partial_view_mm=10.0),
    )
    found = varied(pair, spec, 2.0, np.random.default_rng(seed))
    lost = _total(pair, pair.true) - _total(found, found.true)
    assert (lost >= 0).all()
    gained = found.beyond[1:] - pair.beyond[1:]
    assert (gained >= lost).all()


@pytest.mark.parametrize("fault", quality_variation._FAULTS)
def test_faults_change_predictions_and_leave_groups_groups(fault):
    before = _groups(5)
    results = [fault(before, GROUPS, 2.0, np.random.default_rng(seed)) for seed in range(10)]
    assert sum(not np.array_equal(before, result) for result in results) >= 8
    assert all(result.dtype == np.uint8 and result.max() < GROUPS for result in results)
    np.testing.assert_array_equal(before, _groups(5))  # the kept pair stays as it is


@pytest.mark.parametrize("fault", quality_variation._FAULTS)
def test_empty_predictions_stay_empty(fault):
    empty = np.zeros((8, 8, 8), np.uint8)
    assert not fault(empty, GROUPS, 2.0, np.random.default_rng(0)).any()


@given(st.integers(0, 300))
def test_partial_views_keep_a_box(seed):
    full = np.ones((12, 16, 20), np.uint8)
    seen = partial_view(full, 7.0, np.random.default_rng(seed))
    edges = [np.flatnonzero(seen.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    assert all(7 <= edge[-1] - edge[0] + 1 <= n for edge, n in zip(edges, full.shape, strict=True))
    assert seen.sum() == np.prod([len(edge) for edge in edges])


def test_mirrored_pairs_have_the_same_scores():
    spec = PairSpec(kept=1, fault_probability=0.0, partial_view_probability=0.0)
    pair = _pair()
    found = [varied(pair, spec, 2.0, np.random.default_rng(seed)) for seed in range(8)]
    for one in found:
        np.testing.assert_allclose(group_dice(one)[1:], group_dice(pair)[1:])
    assert len({one.predicted.tobytes() for one in found}) == 2


def test_the_same_generator_gives_the_same_variation():
    spec = PairSpec(kept=1, fault_probability=1.0, partial_view_probability=1.0, partial_view_mm=20.0)
    first, second = (varied(_pair(), spec, 2.0, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.predicted, second.predicted)


@pytest.mark.parametrize(("name", "value"), [("fault_probability", 1.5), ("kept", -1), ("partial_view_mm", -3.0)])
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(UsageError, match=f"pairs: {name}"):
        PairSpec(**{name: value})
