"""Seeds and ranges of the generator."""

from __future__ import annotations

import pytest

from synthseg_core.errors import SynthSegError
from synthseg_core.synth.randomness import Range, sample_seed
from synthseg_core.synth.randomness import generator as source


def test_g15_seeds_of_samples_depend_on_run_and_number_alone():
    """G15: whoever makes sample k, its seed is the same; two ranks together make what one makes."""
    alone = [sample_seed(11, k) for k in range(40)]
    ranks = [[sample_seed(11, k) for k in range(rank, 40, 2)] for rank in range(2)]
    assert sorted(alone) == sorted(ranks[0] + ranks[1])
    assert len(set(alone) | {sample_seed(12, k) for k in range(40)}) == 80
    assert alone[:3] == [sample_seed(11, k) for k in range(3)]


def test_ranges_per_axis():
    bounds = Range((1.0, 2.0, 3.0), (1.0, 2.0, 3.0))
    assert bounds.sample(3, source(0)) == (1, 2, 3)
    assert bounds.sample(6, source(0)) == (1, 1, 2, 2, 3, 3)
    for low, high in ((2, 1), ((1.0, 2.0), 3.0), (float("nan"), 1), (0, float("inf"))):
        with pytest.raises(SynthSegError):
            Range(low, high)
