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
from synthseg_core.networks.config import (
    BasicUNetConfig,
    Kernel,
    NetworkConfig,
    NetworkSpec,
    NnUNetConfig,
    RegressorConfig,
    UNetConfig,
)

Arrays = dict[str, NDArray[np.float32]]
"""Arrays of one network by name."""

_Named = Iterator[tuple[str, tuple[int, ...]]]


def array_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every array, in the order of computation; counters of batches are left out."""
    if isinstance(config, NnUNetConfig):
        return dict(_nnunet(config))
    if isinstance(config, BasicUNetConfig):
        return dict(_basic_unet(config))
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
    seen, detail = config.in_channels * config.block_voxels, config.detail_features
    for level, (before, width) in enumerate(zip((seen, *widths), widths, strict=False)):
        yield from _unet_block(f"down.{level}", before, width, config)
    for step in range(config.levels - 1):
        level = config.levels - 2 - step
        skip = widths[level] if config.has_skip(step) else 0
        yield from _unet_block(f"up.{step}", skip + widths[level + 1], widths[level], config)
    if detail:
        yield from _group_norm_block("detail", config.features + seen, detail, config)
    yield from _convolution("head", config.features + detail, config.out_channels * config.block_voxels, 1)


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


def _nnunet(config: NnUNetConfig) -> _Named:
    """Yield the arrays by the names of nnU-Net's checkpoints, each once."""
    features = config.features
    yield from _residual_encoder(config) if config.encoder == "residual" else _plain_encoder(config)
    for step, count in enumerate(config.decoder_convolutions):
        stage = len(features) - 2 - step
        width = features[stage]
        yield f"decoder.transpconvs.{step}.weight", (features[stage + 1], width, *config.strides[stage + 1])
        if config.bias:
            yield f"decoder.transpconvs.{step}.bias", (width,)
        for number in range(count):
            name, inputs = f"decoder.stages.{step}.convs.{number}", width if number else 2 * width
            yield from _normed(name, inputs, width, config.kernels[stage], bias=config.bias)
    yield from _convolution(f"decoder.seg_layers.{len(features) - 2}", features[0], config.out_channels, 1)


def _residual_encoder(config: NnUNetConfig) -> _Named:
    before, bias = config.features[0], config.bias
    yield from _normed("encoder.stem.convs.0", config.in_channels, before, config.kernels[0], bias=bias)
    for stage, (width, kernel, count) in enumerate(zip(config.features, config.kernels, config.blocks, strict=True)):
        for number in range(count):
            name, pooled = f"encoder.stages.{stage}.blocks.{number}", not number and max(config.strides[stage]) > 1
            yield from _normed(f"{name}.conv1", before, width, kernel, bias=bias)
            yield from _normed(f"{name}.conv2", width, width, kernel, bias=bias)
            if before != width:
                yield from _normed(f"{name}.skip.{int(pooled)}", before, width, (1, 1, 1), bias=False)
            before = width


def _plain_encoder(config: NnUNetConfig) -> _Named:
    before = config.in_channels
    for stage, (width, kernel, count) in enumerate(zip(config.features, config.kernels, config.blocks, strict=True)):
        for number in range(count):
            yield from _normed(f"encoder.stages.{stage}.0.convs.{number}", before, width, kernel, bias=config.bias)
            before = width


def _normed(name: str, inputs: int, outputs: int, kernel: Kernel, *, bias: bool) -> _Named:
    """Yield the arrays of a convolution with instance norm."""
    yield f"{name}.conv.weight", (outputs, inputs, *kernel)
    if bias:
        yield f"{name}.conv.bias", (outputs,)
    yield from ((f"{name}.norm.{part}", (outputs,)) for part in ("weight", "bias"))


def _basic_unet(config: BasicUNetConfig) -> _Named:
    """Yield the arrays by the names of MONAI's network."""
    widths = config.encoder_widths
    yield from _two_convolutions("conv_0", config.in_channels, widths[0])
    for level in range(1, config.levels):
        yield from _two_convolutions(f"down_{level}.convs", widths[level - 1], widths[level])
    for level in reversed(range(1, config.levels)):
        skip, kept = widths[level - 1], config.upsampled_width(level)
        yield f"upcat_{level}.upsample.deconv.weight", (widths[level], kept, 2, 2, 2)
        yield f"upcat_{level}.upsample.deconv.bias", (kept,)
        yield from _two_convolutions(f"upcat_{level}.convs", skip + kept, skip if level > 1 else config.features[-1])
    yield from _convolution("final_conv", config.features[-1], config.out_channels, 1)


def _two_convolutions(name: str, inputs: int, outputs: int) -> _Named:
    for number, before in enumerate((inputs, outputs)):
        yield from _convolution(f"{name}.conv_{number}.conv", before, outputs, 3)
        yield from ((f"{name}.conv_{number}.adn.N.{part}", (outputs,)) for part in ("weight", "bias"))


def _convolution(name: str, inputs: int, outputs: int, edge: int) -> _Named:
    yield f"{name}.weight", (outputs, inputs, edge, edge, edge)
    yield f"{name}.bias", (outputs,)


def _batch_norm(name: str, channels: int) -> _Named:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
