"""A step: penalty every few steps, schedule, clipping, weights left alone by losses that are no numbers; processes."""

from __future__ import annotations

import os

import pytest
import torch
from torch import distributed, nn
from torch.multiprocessing.spawn import spawn

from synthseg_core.training.parallel import Ranks
from synthseg_core.translation.batches import Pairs
from synthseg_core.translation.state import new_state
from synthseg_core.translation.step import NonFiniteLossError, average_gradients, train_step
from tests.phantoms.translation import NEEDS_EINOPS, Ellipses, tiny_config

CPU = torch.device("cpu")


def _step(state, config, numbers=(0, 1)):
    return train_step(state, config, Pairs(Ellipses(16), config).batch(numbers), Ranks())


@NEEDS_EINOPS
def test_the_penalty_has_its_turn_every_few_steps():
    config = tiny_config("diffusion", losses={"penalty_interval": 2})
    state = new_state(config, CPU)
    penalties = [_step(state, config).parts["penalty"] for _ in range(4)]
    assert [value > 0 for value in penalties] == [True, False, True, False]


def test_everything_moves_and_the_rate_follows_the_schedule():
    config = tiny_config(steps=4)
    state = new_state(config, CPU)
    before = {name: value.clone() for name, value in state.adversaries.generators.state_dict().items()}
    rates = [_step(state, config).learning_rate for _ in range(4)]
    assert rates[0] == pytest.approx(1.6e-4)
    assert rates == sorted(rates, reverse=True)
    after = state.adversaries.generators.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before if name.endswith("0.weight"))
    assert state.step == 4
    assert all(parameter.requires_grad for parameter in state.adversaries.discriminators.parameters())


def test_clipping_shortens_gradients():
    """With momentum-free Adam a shorter gradient gives the same step, so the gradient itself is looked at."""
    config = tiny_config(generators={"clip_norm": 1e-3})
    state = new_state(config, CPU)
    _step(state, config)
    norms = torch.stack([p.grad.norm() for p in state.adversaries.generators.parameters() if p.grad is not None])
    assert float(norms.norm()) <= 1.01e-3


def test_a_loss_that_is_no_number_leaves_the_weights_alone():
    config = tiny_config()
    state = new_state(config, CPU)
    batch = Pairs(Ellipses(16), config).batch([0])
    batch.images[0, 0, 0, 3, 3] = float("nan")
    before = {name: value.clone() for name, value in state.adversaries.discriminators.state_dict().items()}
    with pytest.raises(NonFiniteLossError, match="a loss of nan"):
        train_step(state, config, batch, Ranks())
    after = state.adversaries.discriminators.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert state.step == 0


def _averaged(rank, folder):
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    parameter, other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    parameter.grad = torch.tensor([1.0, 3.0]) * (rank + 1)
    average_gradients([parameter, other], Ranks(rank, 2, rank))
    torch.save(parameter.grad, os.path.join(folder, f"{rank}.pt"))  # noqa: PTH118
    distributed.destroy_process_group()


def test_gradients_are_averaged_over_processes(tmp_path):
    spawn(_averaged, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        assert torch.equal(torch.load(tmp_path / f"{rank}.pt", weights_only=True), torch.tensor([1.5, 4.5]))
