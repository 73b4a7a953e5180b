"""Multiplicative bias fields."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from synthseg_core.ops.fields import resize_linear


def log_bias_field(
    shape: Sequence[int], std: float, scale: float, generator: torch.Generator, device: torch.device | str = "cpu"
) -> Tensor:
    """Return the logarithm of a bias field, (I, J, K) float32.

    Gaussian noise on ``ceil(n * scale)`` nodes per axis, interpolated linearly; about the last ``1 / scale`` voxels of
    an axis are constant (see :func:`synthseg_core.ops.fields.resize_positions`).
    """
    nodes = [math.ceil(n * scale) for n in shape]
    return resize_linear(torch.randn(nodes, generator=generator).to(device) * std, shape)
