"""Sources of samples."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace

import pytest
import torch

from synthseg_core.errors import UsageError
from synthseg_core.training.samples import Ahead, require_fit
from tests.unit.training.training_source import NETWORK, Balls, tiny_config


def test_bfloat16_on_the_cpu_refuses_shapes_with_wrong_gradients():
    images, class_index = torch.zeros(1, 1, 8, 16, 16), torch.zeros(1, 16, 16, 16)
    config = tiny_config(precision="bfloat16")  # 8 / 2 / 2 voxels along the first axis
    with pytest.raises(UsageError, match="first axis"):
        require_fit(images, class_index, config, torch.device("cpu"))
    require_fit(images.movedim(2, 3), class_index, config, torch.device("cpu"))


def test_blocks_of_voxels_count_as_one_for_it():
    images, class_index = torch.zeros(1, 1, 16, 32, 32), torch.zeros(1, 32, 32, 32)
    config = tiny_config(precision="bfloat16", network=replace(NETWORK, norm="group", folding=2))
    with pytest.raises(UsageError, match="first axis"):
        require_fit(images, class_index, config, torch.device("cpu"))
    require_fit(images.movedim(2, 3), class_index, config, torch.device("cpu"))


class Watched(Balls):
    """Remembers the threads that made samples, and can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[str] = []
        self.may_go_on = threading.Event()

    def batch(self, seeds):
        self.threads.append(threading.current_thread().name)
        assert self.may_go_on.wait(30)
        return super().batch(seeds)


def test_samples_are_made_beside_the_step_on_a_cpu():
    source = Watched()
    with closing(Ahead(source, torch.device("cpu"))) as ahead:
        ahead.prepare([[1], [2]])  # comes back although nothing is made yet
        source.may_go_on.set()
        assert torch.equal(ahead.batch([1])[0], Balls().batch([1])[0])
        ahead.prepare([[2], [3]])
        assert torch.equal(ahead.batch([2])[0], Balls().batch([2])[0])
        assert torch.equal(ahead.batch([7])[0], Balls().batch([7])[0])  # nobody said so before
    assert sorted(source.asked) == [1, 2, 3, 7]
    others = [name for name in source.threads if name != threading.current_thread().name]
    assert len(others) == 3
    assert all(name.startswith("samples") for name in others)


def test_samples_that_nobody_wants_any_more_are_not_made():
    source = Watched()
    with closing(Ahead(source, torch.device("cpu"))) as ahead:
        ahead.prepare([[1], [2], [3]])
        ahead.prepare([[1], [4]])
        source.may_go_on.set()
        ahead.batch([4])
    assert source.asked == [1, 4]


def test_what_goes_wrong_with_a_sample_is_raised_where_it_is_needed():
    class Faulty(Balls):
        def batch(self, seeds):
            raise ValueError(f"no sample {seeds}")

    with closing(Ahead(Faulty(), torch.device("cpu"))) as ahead:
        ahead.prepare([[1]])
        with pytest.raises(ValueError, match="no sample"):
            ahead.batch([1])
