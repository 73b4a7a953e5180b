"""Sources of samples."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthseg_core.errors import UsageError
from synthseg_core.training.samples import require_fit
from tests.unit.training.training_source import NETWORK, tiny_config


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
