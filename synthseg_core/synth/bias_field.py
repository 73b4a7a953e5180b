"""Multiplicative bias fields."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from synthseg_core.synth.fields import resize_linear
from synthseg_core.synth.specs import BiasFieldSpec


def log_bias_field(
    shape: Sequence[int],
    std: float,
    spec: BiasFieldSpec,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return the logarithm of a bias field, (I, J, K) float32.

    Gaussian noise on ``ceil(n * scale)`` nodes per axis, interpolated linearly; unless grids are centred, about the
    last ``1 / scale`` voxels of an axis are constant (see :func:`synthseg_core.synth.fields.resize_positions`).
    """
    nodes = [math.ceil(n * spec.scale) for n in shape]
    noise = torch.randn(nodes, generator=generator).to(device) * std
    return resize_linear(noise, shape, spec.centred_grid)
