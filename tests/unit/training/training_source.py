"""A source of small made-up samples: two nested balls at random places, in a box with unequal edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synthseg_core.networks.config import UNetConfig
from synthseg_core.training.config import Intervals, OptimiserConfig, Stage, TrainConfig

SHAPE = (12, 16, 20)
NETWORK = UNetConfig(out_channels=3, features=2, levels=3)


class Balls:
    """Remembers the seeds that it was asked for; makes NaN of those in ``bad``."""

    def __init__(self, bad: Sequence[int] = ()) -> None:
        self.asked: list[int] = []
        self.bad = set(bad)

    def batch(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        self.asked += seeds
        samples = [_sample(seed) for seed in seeds]
        images = torch.stack(
            [
                image * float("nan") if seed in self.bad else image
                for seed, (image, _) in zip(seeds, samples, strict=True)
            ]
        )
        return images, torch.stack([class_index for _, class_index in samples])


def _sample(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centre = (torch.rand(3, generator=generator) * 0.4 + 0.3) * torch.tensor(SHAPE)
    grid = torch.stack(torch.meshgrid(*[torch.arange(n) for n in SHAPE], indexing="ij"))
    distance = (grid - centre[:, None, None, None]).norm(dim=0)
    class_index = (distance < 4).to(torch.uint8) + (distance < 2.5).to(torch.uint8)
    means = torch.tensor([0.1, 0.5, 0.9]) + 0.1 * torch.rand(3, generator=generator)
    return (means[class_index.long()] + 0.05 * torch.randn(SHAPE, generator=generator))[None], class_index


def tiny_config(**settings) -> TrainConfig:
    """A training of seconds, on the CPU."""
    defaults = {
        "network": NETWORK,
        "stages": (Stage("weighted_l2", 2), Stage("dice", 4)),
        "optimiser": OptimiserConfig(learning_rate=1e-3),
        "device": "cpu",
        "intervals": Intervals(log=1, checkpoint=100, validate=0, snapshot=0),
    }
    return TrainConfig(**(defaults | settings))
