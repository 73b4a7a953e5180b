"""Samples shared among processes."""

from __future__ import annotations

import pytest

from synthseg_core.errors import UsageError
from synthseg_core.training.parallel import Ranks, passes
from tests.unit.training.training_source import tiny_config


@pytest.mark.parametrize(("ranks", "micro"), [(1, None), (1, 2), (2, None), (2, 1), (3, 2), (6, 1)])
def test_every_sample_is_taken_once_whatever_the_number_of_processes(ranks, micro):
    config = tiny_config(batch_size=6, micro_batch=micro)
    shares = [passes(config, Ranks(rank, ranks), 4) for rank in range(ranks)]
    assert sorted(n for share in shares for some in share for n in some) == list(range(24, 30))
    assert len({len(share) for share in shares}) == 1
    assert {len(some) for share in shares for some in share} == {micro or 6 // ranks}


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(UsageError, match="2 processes"):
        passes(tiny_config(batch_size=1), Ranks(0, 2), 0)
    with pytest.raises(UsageError, match="multiple of 4"):
        passes(tiny_config(batch_size=6, micro_batch=2), Ranks(0, 2), 0)
