"""Running the quality network over groups of structures."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from synthseg_core.networks.config import NetworkSpec, RegressorConfig
from synthseg_core.networks.regressor import Regressor
from synthseg_core.networks.regressor_inference import RegressorRunner
from tests.phantoms.models import random_arrays


def _net(config: RegressorConfig, seed: int = 0) -> Regressor:
    net = Regressor(config).eval()
    arrays = random_arrays(NetworkSpec("regressor", "qc", config), seed)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=False)
    if seed % 2:  # some channels turned around: a maximum before the norm is a minimum after it
        for part in net.modules():
            if isinstance(part, torch.nn.BatchNorm3d):
                part.weight.data[::2] *= -1
    return net


def _groups(shape, count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(count, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def _forward(net: Regressor, groups: torch.Tensor) -> torch.Tensor:
    hot = functional.one_hot(groups.long(), net.config.in_channels).permute(3, 0, 1, 2)[None].float()
    with torch.inference_mode():
        return net(hot)[0]


def test_groups_that_do_not_occur_are_channels_too():
    net = _net(RegressorConfig(5, 5, features=2, levels=2, kernel_size=3))
    groups = torch.zeros(8, 8, 12, dtype=torch.uint8)
    np.testing.assert_allclose(RegressorRunner(net).run(groups), _forward(net, groups), atol=1e-5)


def test_scores_depend_on_the_groups():
    runner = RegressorRunner(_net(RegressorConfig(3, 3, features=2, levels=2, kernel_size=3), seed=9))
    first, second = (runner.run(_groups((8, 8, 8), 3, seed)) for seed in (0, 1))
    assert not torch.equal(first, second)
    assert runner.device == torch.device("cpu")


def test_blocks_of_voxels_are_averaged_first():
    net = _net(RegressorConfig(5, 5, features=2, levels=2, kernel_size=3, pooling=2), seed=3)
    groups = _groups((16, 24, 8), 5, seed=2)
    np.testing.assert_allclose(RegressorRunner(net).run(groups), _forward(net, groups), atol=1e-5)
    mixed = groups.clone()
    mixed[0, 0, 0], mixed[1, 1, 1] = groups[1, 1, 1], groups[0, 0, 0]  # the shares in a block stay
    torch.testing.assert_close(RegressorRunner(net).run(mixed), RegressorRunner(net).run(groups))
