"""State of a training: weights drawn from the seed, progress, and what is averaged."""

from __future__ import annotations

import torch

from synthseg_core.translation.state import new_state, restore, snapshot_of
from tests.phantoms.translation import tiny_config

CPU = torch.device("cpu")


def _weights(state):
    return state.adversaries.generators.state_dict()


def test_first_weights_depend_on_the_seed_alone():
    torch.manual_seed(99)
    first = new_state(tiny_config(), CPU)
    before = torch.get_rng_state()
    again, other = new_state(tiny_config(), CPU), new_state(tiny_config(seed=1), CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, _weights(again)[name]) for name, value in _weights(first).items())
    assert any(not torch.equal(value, _weights(other)[name]) for name, value in _weights(first).items())


def test_progress_is_that_of_steps_or_time_whichever_is_further():
    state = new_state(tiny_config(), CPU)
    state.step, state.seconds = 3, 90.0
    assert state.progress(tiny_config(steps=6)) == 0.5
    assert state.progress(tiny_config(steps=6, budget_s=100.0)) == 0.9
    assert state.progress(tiny_config(steps=6, budget_s=10.0)) == 1


def test_a_snapshot_brings_everything_back():
    state, other = new_state(tiny_config(), CPU), new_state(tiny_config(seed=5), CPU)
    state.step, state.best_distance, state.best_step = 4, 0.25, 2
    torch.manual_seed(3)
    content = snapshot_of(state, {"config": {}})
    wanted = torch.rand(3)
    restore(other, content)
    assert torch.equal(torch.rand(3), wanted)
    assert (other.step, other.best_distance, other.best_step) == (4, 0.25, 2)
    assert all(torch.equal(value, _weights(other)[name]) for name, value in _weights(state).items())


def test_averaged_generators_are_others_than_those_that_are_trained():
    state = new_state(tiny_config(), CPU)
    for value in state.average.values.values():
        value.zero_()
    averaged = state.averaged()
    assert not averaged.training
    assert all(parameter.abs().sum().item() == 0 for parameter in averaged.parameters())
    assert any(parameter.abs().sum().item() > 0 for parameter in state.adversaries.generators.parameters())
