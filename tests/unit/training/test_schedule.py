"""Learning-rate schedules, the weight average, and the place in a plan of stages."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.errors import UsageError
from synthseg_core.training.averages import WeightAverage, decay_after
from synthseg_core.training.schedule import Schedule


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (Schedule(), {0.0: 1, 0.5: 1, 1.0: 1}),
        (Schedule("constant", warm_up=0.1), {0.0: 0, 0.05: 0.5, 0.1: 1, 1.0: 1}),
        (Schedule("cosine"), {0.0: 1, 0.25: 0.853553, 0.5: 0.5, 1.0: 0}),
        (Schedule("cosine", warm_up=0.2, final=0.1), {0.0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.55, 1.0: 0.1}),
        (Schedule("one_cycle", warm_up=0.3), {0.0: 0.04, 0.15: 0.52, 0.3: 1, 0.65: 0.5, 1.0: 0}),
    ],
)
def test_factors(schedule, points):
    for progress, factor in points.items():
        assert schedule.factor(progress) == pytest.approx(factor, abs=1e-6)


@pytest.mark.parametrize("settings", [{"kind": "linear"}, {"warm_up": 1.0}, {"final": -0.1}])
def test_schedules_that_make_no_sense_are_refused(settings):
    with pytest.raises(UsageError):
        Schedule(**settings)


def test_average_follows_floats_and_copies_counters():
    net = torch.nn.BatchNorm1d(2)
    average = WeightAverage(net, 0.5)
    with torch.no_grad():
        net.weight.fill_(3.0)
        net.num_batches_tracked.fill_(7)
    average.update(net)
    kept = decay_after(1, 0.5)
    assert kept == pytest.approx(2 / 11)
    torch.testing.assert_close(average.values["weight"], torch.full((2,), kept * 1 + (1 - kept) * 3))
    assert average.values["num_batches_tracked"].item() == 7
    assert decay_after(10**6, 0.999) == 0.999
