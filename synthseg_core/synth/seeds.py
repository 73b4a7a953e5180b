"""Seeds of numbered samples: any sample can be made alone, by any worker, in any order."""

from __future__ import annotations

import numpy as np
import torch

_SEED_BITS = 63  # torch generators take signed 64-bit seeds


def sample_seed(seed: int, index: int) -> int:
    """Return the seed of sample ``index`` of a run; neighbours in either argument give unrelated seeds."""
    return spread(seed, index)


def spread(*parts: int) -> int:
    """Hash whole numbers of 0 and above into one seed."""
    state = np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]
    return int(state) >> (64 - _SEED_BITS)


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a seeded source of random numbers on a device."""
    return torch.Generator(device).manual_seed(seed)
