"""Muon against a dense decomposition and by hand, its AdamW against torch's, and both in one state that resumes."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.errors import UsageError
from synthseg_core.networks.config import UNetConfig
from synthseg_core.networks.unet import UNet
from synthseg_core.training.config import OptimiserConfig
from synthseg_core.training.optimisers import Muon, new_optimiser, orthogonalised, set_rates
from synthseg_core.training.schedule import Schedule

MUON = OptimiserConfig("muon", 0.02, epsilon=1e-8, weight_decay=0.01)
NETWORK = UNetConfig(out_channels=3, features=2, levels=3, norm="group", activation="leaky_relu", residual=True)


def _matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(6, 6), (4, 30), (30, 4), (1, 9), (9, 1)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_singular_values_come_near_one_and_directions_stay(shape, scale):
    u, s, vh = torch.linalg.svd(scale * _matrix(*shape), full_matrices=False)
    found = orthogonalised(u @ torch.diag(s) @ vh)
    _, values, _ = torch.linalg.svd(found, full_matrices=False)
    assert 0.65 < values.min() <= values.max() < 1.25
    # in the basis of the matrix the answer is diagonal: the same directions, none turned around
    inner = u.T @ found @ vh.T
    torch.testing.assert_close(inner, torch.diag(inner.diagonal()), atol=1e-9, rtol=0)
    assert inner.diagonal().min() > 0.65


def test_small_singular_values_grow_as_large_ones_do():
    u, _, vh = torch.linalg.svd(_matrix(5, 12), full_matrices=False)
    found = orthogonalised(u @ torch.diag(torch.tensor([1.0, 0.5, 0.2, 0.1, 0.05], dtype=torch.float64)) @ vh)
    assert torch.linalg.svdvals(found).min() > 0.65


def test_two_steps_of_muon_by_hand():
    weight = torch.nn.Parameter(_matrix(4, 6).view(4, 2, 3, 1, 1))
    first, second = _matrix(4, 6, 1), _matrix(4, 6, 2)
    optimiser, expected = Muon([weight], [], MUON), weight.detach().clone().view(4, 6)
    momentum = torch.zeros_like(first)
    for gradient in (first, second):
        weight.grad = gradient.view_as(weight)
        optimiser.step()
        momentum = 0.95 * momentum + 0.05 * gradient
        expected = expected * (1 - 0.02 * 0.01) - 0.02 * orthogonalised(0.05 * gradient + 0.95 * momentum)
    torch.testing.assert_close(weight.detach().view(4, 6), expected)


def test_tall_kernels_are_moved_further():
    tall = torch.nn.Parameter(torch.zeros(32, 2, dtype=torch.float64))
    tall.grad = _matrix(32, 2)
    Muon([tall], [], MUON).step()
    assert torch.linalg.svdvals(tall.detach()).max() > 0.02 * 4 * 0.65


def test_the_rest_is_moved_as_by_adamw():
    ours, theirs = (torch.nn.Parameter(_matrix(5, 3)) for _ in range(2))
    first = Muon([], [ours], MUON)
    second = torch.optim.AdamW([theirs], lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4)
    for seed in range(5):
        ours.grad, theirs.grad = _matrix(5, 3, seed), _matrix(5, 3, seed)
        first.step()
        second.step()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("network", [NETWORK, UNetConfig(out_channels=3, features=2, levels=3)])
def test_kernels_between_features_go_to_muon_all_else_to_adamw(network):
    net = UNet(network)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    kernels, rest = ({names[id(p)] for p in group["params"]} for group in new_optimiser(net, MUON).param_groups)
    assert kernels | rest == set(names.values())
    assert {"down.0.conv1.weight", "down.2.conv0.weight", "up.1.conv0.weight"} <= kernels
    assert {"down.0.conv0.weight", "head.weight", "head.bias"} <= rest
    assert not any("norm" in name or name.endswith("bias") for name in kernels)


def test_parameters_without_a_gradient_stay():
    still = torch.nn.Parameter(_matrix(3, 3))
    before = still.detach().clone()
    Muon([still], [torch.nn.Parameter(torch.zeros(2))], MUON).step()
    assert torch.equal(still.detach(), before)


def test_a_stored_state_goes_on_to_the_same_bits():
    def trained(steps, optimiser, kernel, rest):
        for seed in steps:
            kernel.grad, rest.grad = _matrix(4, 6, seed), _matrix(3, 1, seed)
            optimiser.step()

    whole = [torch.nn.Parameter(_matrix(4, 6)), torch.nn.Parameter(_matrix(3, 1))]
    trained(range(6), Muon(whole[:1], whole[1:], MUON), *whole)
    parts = [torch.nn.Parameter(_matrix(4, 6)), torch.nn.Parameter(_matrix(3, 1))]
    before = Muon(parts[:1], parts[1:], MUON)
    trained(range(3), before, *parts)
    again = [torch.nn.Parameter(part.detach().clone()) for part in parts]
    after = Muon(again[:1], again[1:], MUON)
    after.load_state_dict(before.state_dict())
    trained(range(3, 6), after, *again)
    assert all(torch.equal(first, second) for first, second in zip(whole, again, strict=True))


def test_rates_are_shares_of_two_peaks():
    optimiser = new_optimiser(UNet(NETWORK), MUON)
    set_rates(optimiser, MUON, 0.5)
    assert [group["lr"] for group in optimiser.param_groups] == [0.01, 0.001]
    adam = OptimiserConfig(learning_rate=1e-3, schedule=Schedule("cosine"))
    other = new_optimiser(UNet(NETWORK), adam)
    set_rates(other, adam, 0.25)
    assert [group["lr"] for group in other.param_groups] == [2.5e-4]


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"momentum": 1.0}, "momentum"), ({"rest_learning_rate": 0}, "rest_learning_rate"), ({"kind": "sgd"}, "sgd")],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(UsageError, match=said):
        OptimiserConfig(**({"kind": "muon"} | settings))
