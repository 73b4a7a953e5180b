"""Shapes of the networks, without torch, so that model cards can be read and checked cheaply."""

from __future__ import annotations

from dataclasses import dataclass, field

from synthseg_core.errors import ModelError


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a 3-D U-Net; the defaults are those of SynthSeg 2.0.

    Parameters
    ----------
    in_channels, out_channels
        Image channels and classes (background included).
    features
        Channels of the finest level; doubled at each coarser one.
    levels
        Resolution levels; the grid must be divisible by ``2 ** (levels - 1)``.
    kernel_size
        Edge of the cubic kernels, odd.
    skips
        Decoder steps (0 = coarsest) that receive the encoder's features; ``None``: all of them.
    """

    in_channels: int = 1
    out_channels: int = 33
    features: int = 24
    levels: int = 5
    kernel_size: int = 3
    skips: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _require_positive(self, "in_channels", "out_channels", "features", "kernel_size")
        if self.levels < 2:
            raise ModelError("levels", found=str(self.levels), expected="at least 2", remedy="correct the model card")
        if self.kernel_size % 2 == 0:
            raise ModelError(
                "kernel_size", found=str(self.kernel_size), expected="odd", remedy="correct the model card"
            )

    def width(self, level: int) -> int:
        """Return the channels of a level, 0 being the finest."""
        return self.features * 2**level

    def has_skip(self, step: int) -> bool:
        """Say whether decoder step ``step`` (0 = coarsest) receives encoder features."""
        return self.skips is None or step in self.skips


@dataclass(frozen=True)
class RegressorConfig:
    """Shape of the quality-control regressor; the defaults are those published with SynthSeg 2.0."""

    in_channels: int = 9
    out_channels: int = 9
    features: int = 24
    levels: int = 4
    kernel_size: int = 5

    def __post_init__(self) -> None:
        _require_positive(self, "in_channels", "out_channels", "features", "levels", "kernel_size")

    def width(self, level: int) -> int:
        """Return the channels of a level, 0 being the finest."""
        return self.features * 2**level


NetworkConfig = UNetConfig | RegressorConfig


@dataclass(frozen=True)
class NetworkSpec:
    """One network of a model: its role, its shape, and where its arrays lie in the weights file.

    Parameters
    ----------
    role
        ``segmenter``, ``group_segmenter``, ``denoiser``, ``parcellator`` or ``regressor``.
    prefix
        First part of the layer names in a Keras file; also the first part of the array names in safetensors.
    """

    role: str
    prefix: str
    config: NetworkConfig = field(default_factory=UNetConfig)


def _require_positive(config: NetworkConfig, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ModelError(
                name, found=str(getattr(config, name)), expected="a positive number", remedy="correct the model card"
            )
