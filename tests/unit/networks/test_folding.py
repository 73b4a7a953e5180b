"""Blocks of voxels as channels: where each voxel goes, and that it comes back."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from synthseg_core.networks.folding import fold, unfold


@settings(deadline=None, max_examples=30)
@given(
    blocks=st.tuples(*[st.integers(1, 4)] * 3),
    edge=st.sampled_from([1, 2, 4]),
    channels=st.integers(1, 3),
    samples=st.integers(1, 2),
)
def test_what_is_folded_comes_back(blocks, edge, channels, samples):
    maps = torch.arange(samples * channels * edge**3 * blocks[0] * blocks[1] * blocks[2], dtype=torch.float32)
    maps = maps.view(samples, channels, *(edge * n for n in blocks))
    folded = fold(maps, edge)
    assert folded.shape == (samples, edge**3 * channels, *blocks)
    assert torch.equal(unfold(folded, edge), maps)


def test_every_voxel_of_a_block_has_its_channels():
    maps = torch.rand(1, 3, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    folded = fold(maps, 2)
    for sub, (i, j, k) in enumerate((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)):
        assert torch.equal(folded[:, 3 * sub : 3 * sub + 3], maps[:, :, i::2, j::2, k::2])


@pytest.mark.parametrize("change", [fold, unfold])
def test_channels_come_last_in_memory(change):
    maps = torch.rand(1, 16, 4, 6, 8).contiguous(memory_format=torch.channels_last_3d)
    assert change(maps, 2).is_contiguous(memory_format=torch.channels_last_3d)


def test_single_voxels_stay_as_they_are():
    maps = torch.rand(1, 2, 3, 5, 7)
    assert fold(maps, 1) is maps
    assert unfold(maps, 1) is maps
