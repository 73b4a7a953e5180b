"""The generator on a GPU: rows G15 and G17 of the acceptance table there, and agreement with the CPU."""

from __future__ import annotations

import time

import pytest
import torch

from synthseg_core.synth import BrainGenerator, read_recipe
from tests.phantoms.heads import phantom_maps, small

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]


@pytest.mark.parametrize("preset", ["official", "pv"])
def test_g15_same_bits_on_the_same_device(preset):
    recipe = small(preset)
    first, second = (BrainGenerator(phantom_maps().to("cuda"), recipe) for _ in range(2))
    second.sample(1)
    wanted, found = first.sample(2), second.sample(2)
    assert wanted.image.is_cuda
    assert torch.equal(wanted.image, found.image)
    assert torch.equal(wanted.index_map, found.index_map)


def test_anatomy_is_that_of_the_cpu():
    """Draws and fields come from the CPU; only noise differs, and voxels whose source lies between two."""
    on_cpu, on_gpu = (BrainGenerator(phantom_maps().to(device), small()).sample(3) for device in ("cpu", "cuda"))
    assert on_cpu.draw == on_gpu.draw
    assert float((on_cpu.index_map == on_gpu.index_map.cpu()).float().mean()) > 0.999


def test_g17_time_of_a_sample():
    """G17: below 0.3 s for 160 x 160 x 160 voxels, mean of 50 after 5, and below 2 GB."""
    generator = BrainGenerator(phantom_maps(shape=(256, 256, 256)).to("cuda"), read_recipe("official"))
    for seed in range(5):
        generator.sample(seed)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    for seed in range(50):
        generator.sample(seed)
    torch.cuda.synchronize()
    assert (time.perf_counter() - begin) / 50 < 0.3
    assert torch.cuda.max_memory_allocated() < 2e9
