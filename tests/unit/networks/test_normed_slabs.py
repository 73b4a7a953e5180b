"""Steps of networks with instance norm, slab by slab, against the layers of torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from synthseg_core.networks.normed_slabs import NormedSlabs

Edges = int | tuple[int, int, int]


class _Layer(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: Edges = 3, padding: Edges = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, padding=padding)
        self.norm = nn.GroupNorm(outputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.leaky_relu(self.norm(self.conv(x)), 0.3)


@pytest.mark.parametrize("slab_bytes", [1, 2**20])
@pytest.mark.parametrize("skip_first", [True, False])
@torch.inference_mode()
def test_a_step_of_a_decoder(slab_bytes, skip_first):
    torch.manual_seed(0)
    up, layers = nn.ConvTranspose3d(5, 3, 2, 2), [_Layer(5, 4), _Layer(4, 4)]
    coarse, skip = torch.randn(1, 5, 3, 2, 4), torch.randn(1, 2, 6, 4, 8)
    before = coarse.clone(), skip.clone()
    parts = [skip, up(coarse)] if skip_first else [up(coarse), skip]
    expected = layers[1](layers[0](torch.cat(parts, 1)))
    found = NormedSlabs(0.3, slab_bytes).decode(coarse, skip, up, layers, skip_first=skip_first)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(coarse, before[0])
    assert torch.equal(skip, before[1])


@pytest.mark.parametrize("slab_bytes", [1, 5000, 2**20])
@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (5, 2), ((5, 1, 3), (2, 0, 1))])
@torch.inference_mode()
def test_a_step_of_a_decoder_takes_the_place_of_a_skip_as_wide(slab_bytes, kernel, padding):
    torch.manual_seed(0)
    up, layers = nn.ConvTranspose3d(5, 4, 2, 2), [_Layer(8, 4, kernel, padding), _Layer(4, 4)]
    coarse, skip = torch.randn(1, 5, 5, 2, 4), torch.randn(1, 4, 10, 4, 8)
    expected = layers[1](layers[0](torch.cat([up(coarse), skip], 1)))
    found = NormedSlabs(0.3, slab_bytes).decode(coarse, skip, up, layers)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found.data_ptr() == skip.data_ptr()


@torch.inference_mode()
def test_a_stack_leaves_its_input_alone():
    torch.manual_seed(1)
    layers, x = [_Layer(2, 4), _Layer(4, 4), _Layer(4, 4)], torch.randn(1, 2, 7, 4, 5)
    before, expected = x.clone(), layers[2](layers[1](layers[0](x)))
    torch.testing.assert_close(NormedSlabs(0.3, 1).stack(x, layers), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(x, before)
