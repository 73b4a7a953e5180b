"""Slices that repeat are left out and put back: the same answer as computing all of them."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.nn import functional

from synthseg_core.networks.config import NetworkSpec, RegressorConfig
from synthseg_core.networks.regressor import Regressor
from synthseg_core.networks.regressor_inference import RegressorRunner
from synthseg_core.networks.repetition import AxisPlan, Run, background_runs, select
from tests.phantoms.models import random_arrays


@pytest.mark.parametrize(
    ("run", "reach", "dropped", "pooled"),
    [
        (Run(0, 20), 2, (2, 16), Run(1, 9)),
        (Run(3, 20), 2, (6, 16), Run(3, 9)),
        (Run(0, 21), 4, (4, 14), Run(2, 8)),
        (Run(0, 6), 4, (4, 4), Run(2, 1)),
        (Run(5, 5), 2, (8, 8), Run(4, 1)),
    ],
)
def test_runs_by_hand(run, reach, dropped, pooled):
    """Both ends of what is dropped are even; a pair inside the run stays, for the dropped ones to be copied from."""
    assert run.dropped(reach) == dropped
    assert run.pooled(reach) == pooled


def test_plan_by_hand():
    plan = AxisPlan.of(12, (Run(0, 10),), 1)
    assert plan.kept.tolist() == [0, 1, 6, 7, 8, 9, 10, 11]
    assert plan.repeated.tolist() == [0, 1, 1, 1, 2, 3]


def test_background_runs():
    groups = torch.zeros(10, 12, 8, dtype=torch.uint8)
    groups[2:7, 0:3, 5] = 1
    found = [background_runs(groups, axis) for axis in range(3)]
    assert found == [(Run(0, 2), Run(7, 10)), (Run(0, 0), Run(3, 12)), (Run(0, 5), Run(6, 8))]
    assert background_runs(torch.zeros_like(groups), 1) == (Run(0, 12),)


def test_select_takes_slices_of_the_last_axes():
    x = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    indices = [torch.tensor([0, 2]), torch.arange(4), torch.tensor([4])]
    assert torch.equal(select(x, indices), x[:, [0, 2]][..., [4]])
    whole = [torch.arange(n) for n in (3, 4, 5)]
    assert select(x, whole) is x


@given(
    length=st.integers(1, 20).map(lambda n: 2 * n),
    start=st.integers(0, 40),
    extent=st.integers(0, 40),
    radius=st.integers(0, 3),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=150)
def test_a_level_on_the_slices_that_are_kept_is_the_level(length, start, extent, radius, seed):
    """Two convolutions and pooling along one axis, with one run of equal values anywhere."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(length, generator=generator, dtype=torch.float64)
    run = Run(min(start, length), min(start + extent, length))
    x[run.start : run.stop] = 1.5
    kernels = torch.randn(2, 1, 1, 2 * radius + 1, generator=generator, dtype=torch.float64)

    def level(value: torch.Tensor) -> torch.Tensor:
        hidden = functional.conv1d(value[None, None], kernels[0], padding=radius).relu()
        return functional.max_pool1d(functional.conv1d(hidden, kernels[1], padding=radius), 2)[0, 0]

    expected, plan = level(x), AxisPlan.of(length, (run,), 2 * radius)
    found = level(x[plan.kept])[plan.repeated]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    left = run.pooled(2 * radius)
    assert len(torch.unique(expected[left.start : max(left.stop, left.start)].round(decimals=9))) <= 1


@pytest.mark.parametrize("config", [RegressorConfig(3, 3, 2, 3, 3), RegressorConfig(4, 4, 2, 2, 5)])
@pytest.mark.parametrize("place", [(20, 28, 12), (0, 40, 60), (63, 0, 30), None])
def test_scores_of_a_head_in_empty_surroundings(config, place):
    """A small head anywhere in a large cube, at its border too, and no head at all."""
    groups = torch.zeros(64, 48, 72, dtype=torch.uint8)
    if place is not None:
        i, j, k = place
        head = groups[i : i + 14, j : j + 10, k : k + 20]
        head[...] = torch.randint(config.in_channels, head.shape, generator=torch.Generator().manual_seed(1))
    net = Regressor(config).eval()
    arrays = random_arrays(NetworkSpec("regressor", "qc", config), 5)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=False)
    hot = functional.one_hot(groups.long(), config.in_channels).permute(3, 0, 1, 2)[None].float()
    with torch.inference_mode():
        expected = net(hot)[0]
    np.testing.assert_allclose(RegressorRunner(net).run(groups), expected, atol=2e-5)
