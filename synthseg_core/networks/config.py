"""Shapes of the networks, without torch, so that model cards can be read and checked cheaply."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from synthseg_core.errors import ModelError

Kernel: TypeAlias = tuple[int, int, int]
"""Edges of a kernel or step, voxels."""

NORMS = ("batch", "group")
ACTIVATIONS = ("elu", "leaky_relu")
ENCODERS = ("residual", "plain")
# Options that came later, with the values that earlier networks have.
_LATER: Mapping[str, Any] = {
    "widths": None,
    "norm": "batch",
    "activation": "elu",
    "residual": False,
    "pooling": 1,
    "folding": 1,
}


def without_later_defaults(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a network as files and digests hold them: what came later only where it says something.

    Cards, checkpoints and digests from before the options of :class:`UNetConfig` came so stay what they were.
    """
    return {name: value for name, value in entries.items() if name not in _LATER or value != _LATER[name]}


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
    widths
        Channels of every level, the finest first, whose number is ``features``; ``None``: doubled at each level.
    norm
        ``batch``: one batch norm after a block, as SynthSeg has. ``group``: group norm after each convolution, with a
        group for every channel, so that a scan is normalised by its own statistics; convolutions then have no bias.
    activation
        ``elu`` or ``leaky_relu``.
    residual
        Add the input of a block, through a 1x1x1 convolution where widths differ, before its last activation; only
        with group norm.
    folding
        Edge of the blocks of voxels that are the channels of one voxel of the finest level, a power of 2. A last block
        of convolutions sees them once more, and each voxel of a block gets its own answer; only with group norm.
        1: the finest level has the image's own voxels.
    """

    in_channels: int = 1
    out_channels: int = 33
    features: int = 24
    levels: int = 5
    kernel_size: int = 3
    skips: tuple[int, ...] | None = None
    widths: tuple[int, ...] | None = None
    norm: str = "batch"
    activation: str = "elu"
    residual: bool = False
    folding: int = 1

    def __post_init__(self) -> None:
        _require_positive(self, "in_channels", "out_channels", "features", "kernel_size", "folding")
        if self.levels < 2:
            raise ModelError("levels", found=str(self.levels), expected="at least 2", remedy="correct the model card")
        if self.kernel_size % 2 == 0:
            raise ModelError(
                "kernel_size", found=str(self.kernel_size), expected="odd", remedy="correct the model card"
            )
        _require_one_of(self, "norm", NORMS)
        _require_one_of(self, "activation", ACTIVATIONS)
        self._check_widths()
        _require_power_of_2(self, "folding")
        for name, used in (("residual", self.residual), ("folding", self.folding > 1)):
            if used and self.norm != "group":
                raise ModelError(
                    name, found=f"it with {self.norm} norm", expected="group norm", remedy="correct the model card"
                )

    def _check_widths(self) -> None:
        widths = self.widths
        if widths is None:
            return
        if len(widths) != self.levels or widths[0] != self.features or min(widths) < 1:
            raise ModelError(
                "widths",
                found=", ".join(map(str, widths)),
                expected=f"{self.levels} positive numbers, one for each level, the first {self.features} as 'features'",
                remedy="correct the model card",
            )

    def width(self, level: int) -> int:
        """Return the channels of a level, 0 being the finest."""
        return self.features * 2**level if self.widths is None else self.widths[level]

    @property
    def halvings(self) -> int:
        """How often the grid is halved on the way to the coarsest level."""
        return self.levels - 1 + self.folding.bit_length() - 1

    @property
    def block_voxels(self) -> int:
        """Voxels of the image in a voxel of the finest level."""
        return self.folding**3

    @property
    def detail_features(self) -> int:
        """Channels of the block before the head that sees the voxels of blocks once more; 0: there is none."""
        return 2 * self.features if self.folding > 1 else 0

    @property
    def finest_maps(self) -> int:
        """Channels of full size that inference holds at a time: a skip, and with group norm one map more.

        With folding the last block's input and features come beside them; all these are smaller by a block.
        """
        maps = self.features * (2 if self.norm == "group" else 1)
        if self.folding > 1:
            maps += self.features + 2 * self.in_channels * self.block_voxels + self.detail_features
        return math.ceil(maps / self.block_voxels)

    def has_skip(self, step: int) -> bool:
        """Say whether decoder step ``step`` (0 = coarsest) receives encoder features."""
        return self.skips is None or step in self.skips


@dataclass(frozen=True)
class RegressorConfig:
    """Shape of the quality-control regressor; the defaults are those published with SynthSeg 2.0.

    Parameters
    ----------
    in_channels, out_channels
        Groups of structures, background included.
    features
        Channels of the finest level; doubled at each coarser one.
    levels
        Resolution levels; each halves the grid.
    kernel_size
        Edge of the cubic kernels, odd.
    pooling
        Edge of the blocks of voxels over which the one-hot map is averaged first, a power of 2: the network then sees
        the share of each group in a block. 1: the map as it is.
    """

    in_channels: int = 9
    out_channels: int = 9
    features: int = 24
    levels: int = 4
    kernel_size: int = 5
    pooling: int = 1

    def __post_init__(self) -> None:
        _require_positive(self, "in_channels", "out_channels", "features", "levels", "kernel_size", "pooling")
        _require_power_of_2(self, "pooling")

    def width(self, level: int) -> int:
        """Return the channels of a level, 0 being the finest."""
        return self.features * 2**level

    @property
    def halvings(self) -> int:
        """How often the grid is halved; an odd edge loses its last voxel."""
        return self.levels + self.pooling.bit_length() - 1

    @property
    def finest_maps(self) -> int:
        """Channels of full size that inference holds at a time."""
        return self.features


@dataclass(frozen=True)
class NnUNetConfig:
    """Shape of a 3-D U-Net of nnU-Net v2: by stages, the finest first; instance norm and leaky ReLU throughout.

    Parameters
    ----------
    out_channels, in_channels
        Classes (background included) and image channels.
    features
        Channels of every stage.
    kernels
        Kernel of every stage, voxels, odd; a stage of the decoder has that of the encoder's whose skip it takes.
    strides
        Step into every stage, voxels; that of the first is 1.
    blocks
        Residual blocks of every stage, or convolutions of a plain encoder.
    decoder_convolutions
        Convolutions of every stage of the decoder, the coarsest first.
    encoder
        ``residual`` (ResidualEncoderUNet) or ``plain`` (PlainConvUNet).
    bias
        Whether convolutions have one; that of a residual skip has none.
    slope
        Of the leaky ReLU.
    epsilon
        Added to variances.
    """

    out_channels: int
    features: tuple[int, ...]
    kernels: tuple[Kernel, ...]
    strides: tuple[Kernel, ...]
    blocks: tuple[int, ...]
    decoder_convolutions: tuple[int, ...]
    in_channels: int = 1
    encoder: str = "residual"
    bias: bool = True
    slope: float = 0.01
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        _require_positive(self, "in_channels", "out_channels")
        stages = len(self.features)
        found = [len(self.kernels), len(self.strides), len(self.blocks), len(self.decoder_convolutions) + 1]
        if stages < 2 or any(count != stages for count in found):
            self._refuse(f"lists of {stages}, {', '.join(map(str, found))} stages", "as many of each, two at least")
        edges = [*self.features, *self.blocks, *self.decoder_convolutions]
        if min(edges) < 1 or min(min(triple) for triple in (*self.kernels, *self.strides)) < 1:
            self._refuse("numbers below 1", "positive numbers")
        if any(edge % 2 == 0 for kernel in self.kernels for edge in kernel):
            self._refuse(f"kernels {self.kernels}", "odd edges")
        if self.encoder == "residual" and set(self.strides[0]) != {1}:
            self._refuse(f"a first stride of {self.strides[0]}", "1 along every axis")
        _require_one_of(self, "encoder", ENCODERS)

    @property
    def multiple_voxels(self) -> Kernel:
        """What the edges of a patch have to be divisible by."""
        i, j, k = (math.prod(stride[axis] for stride in self.strides) for axis in range(3))
        return i, j, k

    @property
    def levels(self) -> int:
        """Stages."""
        return len(self.features)

    @property
    def halvings(self) -> int:
        """How often the grid is halved on the way to the coarsest stage, along the axis with the most steps."""
        return (max(self.multiple_voxels) - 1).bit_length()

    @property
    def finest_maps(self) -> int:
        """Channels of full size that inference holds at a time: a map, and two of the next stage, which are smaller."""
        return self.features[0] + math.ceil(2 * self.features[1] / math.prod(self.strides[1]))

    def _refuse(self, found: str, expected: str) -> None:
        raise ModelError("network", found=found, expected=expected, remedy="correct the model card")


@dataclass(frozen=True)
class BasicUNetConfig:
    """Shape of the 3-D U-Net that MONAI calls BasicUNet; the defaults are those of SynthSeg's MONAI port.

    Parameters
    ----------
    in_channels, out_channels
        Image channels and classes (background included).
    features
        Channels of every level, the finest first, and after them those of the last map; MONAI has five levels.
    slope
        Of the leaky ReLU.
    """

    in_channels: int = 1
    out_channels: int = 32
    features: tuple[int, ...] = (24, 48, 96, 192, 384, 24)
    slope: float = 0.2

    def __post_init__(self) -> None:
        _require_positive(self, "in_channels", "out_channels")
        if len(self.features) < 3 or min(self.features) < 1 or any(width % 2 for width in self.features[2:-1]):
            raise ModelError(
                "features",
                found=", ".join(map(str, self.features)),
                expected="positive numbers, three at least, even ones from the third level on, which upsampling halves",
                remedy="correct the model card",
            )

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        """Channels of every level, the finest first."""
        return self.features[:-1]

    @property
    def levels(self) -> int:
        """Resolution levels."""
        return len(self.features) - 1

    @property
    def halvings(self) -> int:
        """How often the grid is halved on the way to the coarsest level."""
        return self.levels - 1

    @property
    def finest_maps(self) -> int:
        """Channels of full size that inference holds at a time: the skip, and what follows from it."""
        return self.features[0] + self.features[-1]

    def upsampled_width(self, level: int) -> int:
        """Return the channels that a level has after upsampling: half of them, all of them in the last step."""
        return self.features[level] // 2 if level > 1 else self.features[level]


NetworkConfig = UNetConfig | RegressorConfig | NnUNetConfig | BasicUNetConfig

TRAINED: Mapping[str, type[UNetConfig] | type[RegressorConfig] | type[BasicUNetConfig]] = {
    "unet": UNetConfig,
    "regressor": RegressorConfig,
    "basic_unet": BasicUNetConfig,
}
"""Name of an architecture that we train -> what describes its shape."""
ARCHITECTURES: Mapping[str, type[NetworkConfig]] = {
    **TRAINED,
    "nnunet": NnUNetConfig,
}
"""Name of an architecture in cards -> what describes its shape."""


def architecture_of(config: NetworkConfig) -> str:
    """Return the name of a network's architecture."""
    return next(name for name, kind in ARCHITECTURES.items() if type(config) is kind)


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


def _require_one_of(config: NetworkConfig, name: str, allowed: tuple[str, ...]) -> None:
    if getattr(config, name) not in allowed:
        raise ModelError(
            name, found=repr(getattr(config, name)), expected=" or ".join(allowed), remedy="correct the model card"
        )


def _require_power_of_2(config: NetworkConfig, name: str) -> None:
    if (value := getattr(config, name)) & (value - 1):
        raise ModelError(name, found=str(value), expected="a power of 2", remedy="correct the model card")


def _require_positive(config: NetworkConfig, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ModelError(
                name, found=str(getattr(config, name)), expected="a positive number", remedy="correct the model card"
            )
