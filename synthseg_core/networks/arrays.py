"""Names and shapes of the arrays of a network's torch module; without torch, so that files are checked cheaply.

They follow from the configuration alone. Every format of weights files maps its own names to these.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthseg_core.errors import WeightsError
from synthseg_core.networks.config import NetworkConfig, NetworkSpec, RegressorConfig, UNetConfig

Arrays = dict[str, NDArray[np.float32]]
"""Arrays of one network by name."""

_Named = Iterator[tuple[str, tuple[int, ...]]]


def array_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every array, in the order of computation; counters of batches are left out."""
    return dict(_regressor(config) if isinstance(config, RegressorConfig) else _unet(config))


def parameter_count(config: NetworkConfig) -> int:
    """Return how many numbers a network holds, running statistics included."""
    return sum(math.prod(shape) for shape in array_shapes(config).values())


def require_complete(subject: object, spec: NetworkSpec, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise ``WeightsError`` about ``subject`` unless every array of a network is there in its shape."""
    shapes = array_shapes(spec.config)
    wrong = [name for name, shape in shapes.items() if name not in arrays or np.shape(arrays[name]) != shape]
    if wrong:
        raise WeightsError(
            subject,
            found=f"network {spec.prefix} with {len(wrong)} arrays missing or of another shape, first {wrong[0]}",
            expected="all arrays of the network",
            remedy="write the network that its model card describes",
        )


def _unet(config: UNetConfig) -> _Named:
    widths = [config.width(level) for level in range(config.levels)]
    for level, (before, width) in enumerate(zip((config.in_channels, *widths), widths, strict=False)):
        yield from _unet_block(f"down.{level}", before, width, config)
    for step in range(config.levels - 1):
        level = config.levels - 2 - step
        skip = widths[level] if config.has_skip(step) else 0
        yield from _unet_block(f"up.{step}", skip + widths[level + 1], widths[level], config)
    yield from _convolution("head", config.features, config.out_channels, 1)


def _unet_block(name: str, inputs: int, outputs: int, config: UNetConfig) -> _Named:
    if config.norm == "group":
        yield from _group_norm_block(name, inputs, outputs, config)
        return
    yield from _convolution(f"{name}.conv0", inputs, outputs, config.kernel_size)
    yield from _convolution(f"{name}.conv1", outputs, outputs, config.kernel_size)
    yield from _batch_norm(f"{name}.norm", outputs)


def _group_norm_block(name: str, inputs: int, outputs: int, config: UNetConfig) -> _Named:
    edge = config.kernel_size
    for number, before in enumerate((inputs, outputs)):
        yield f"{name}.conv{number}.weight", (outputs, before, edge, edge, edge)
        yield from ((f"{name}.norm{number}.{part}", (outputs,)) for part in ("weight", "bias"))
    if config.residual and inputs != outputs:
        yield f"{name}.shortcut.weight", (outputs, inputs, 1, 1, 1)


def _regressor(config: RegressorConfig) -> _Named:
    edge, before = config.kernel_size, config.in_channels
    for level in range(config.levels):
        width = config.width(level)
        yield from _convolution(f"down.{level}.conv0", before, width, edge)
        yield from _convolution(f"down.{level}.shortcut", before, width, edge)
        yield from _convolution(f"down.{level}.conv1", width, width, edge)
        yield from _batch_norm(f"down.{level}.norm", width)
        before = width
    for number in range(2):
        yield from _convolution(f"final.{number}", before, config.out_channels, edge)
        before = config.out_channels


def _convolution(name: str, inputs: int, outputs: int, edge: int) -> _Named:
    yield f"{name}.weight", (outputs, inputs, edge, edge, edge)
    yield f"{name}.bias", (outputs,)


def _batch_norm(name: str, channels: int) -> _Named:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
