"""Where samples come from, and whether they suit a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from synthseg_core.errors import InputError, UsageError
from synthseg_core.networks.config import UNetConfig
from synthseg_core.training.config import TrainConfig


class Source(Protocol):
    """Where samples come from."""

    def batch(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images (B, C, I, J, K) float32 and class_index (B, I, J, K); the same seeds give the same samples."""
        ...


def require_fit(images: Tensor, class_index: Tensor, config: TrainConfig, device: torch.device) -> None:
    """Refuse samples that the network cannot be trained on.

    Raises
    ------
    InputError
        If channels, classes or edges are not those that the network takes.
    UsageError
        If this shape has no correct gradients in the precision asked for.
    """
    network, shape = config.network, tuple(images.shape[2:])
    divisor = 2 ** (network.levels - 1)
    if images.shape[1] != network.in_channels:
        raise _unfit(f"{images.shape[1]} image channels", f"{network.in_channels}, as the network takes")
    if any(edge % divisor for edge in shape):
        raise _unfit(f"shape {shape}", f"edges divisible by {divisor} for {network.levels} levels")
    if int(class_index.max()) >= network.out_channels:
        raise _unfit(f"class {int(class_index.max())}", f"classes below {network.out_channels}, as the network has")
    if config.precision == "bfloat16" and device.type == "cpu" and 2 in _first_edges(network, shape[0]):
        raise UsageError(
            "precision",
            found=f"bfloat16 on the CPU with samples of shape {shape}",
            expected="more than 2 voxels along the first axis at every level of the network",
            remedy="use larger samples, fewer levels, or float32",
        )


def _first_edges(network: UNetConfig, edge: int) -> list[int]:
    """Return the voxels along the first axis at each level.

    With two of them, oneDNN's bfloat16 convolution (torch 2.13) takes weight gradients from memory that it never set.
    """
    return [edge // 2**level for level in range(network.levels)]


def _unfit(found: str, expected: str) -> InputError:
    return InputError("training samples", found=found, expected=expected, remedy="change the recipe or the network")
