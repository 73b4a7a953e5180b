"""Draws: every random number of one sample, as a value that can be printed, saved and replayed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from synthseg_core.errors import InputError
from synthseg_core.synth.randomness import Triple
from synthseg_core.synth.resolution import Acquisition
from synthseg_core.synth.seeds import spread
from synthseg_core.synth.shapes import Shape3
from synthseg_core.system.settings import build

# Streams of one sample's seed: numbers in a draw, then fields and noise that are made when it is applied.
NUMBERS, ELASTIC, NOISE, BIAS, LOW_RESOLUTION, BACKGROUND = range(6)


@dataclass(frozen=True)
class BackgroundDraw:
    """The background that replaces class 0 in partial-volume mode."""

    zero: bool
    mean: float
    std: float


@dataclass(frozen=True)
class ChannelDraw:
    """What one channel looks like.

    Parameters
    ----------
    means, stds
        Per Gaussian class.
    bias_std
        Standard deviation of the log bias field's nodes; 0: none.
    exponent
        Of the gamma transform.
    noise_std
        Of extra noise before normalisation.
    invert
        Dark and bright change places.
    acquisition
        Spacing, thickness and blur.
    low_resolution_noise_std
        Of noise added to the acquired samples.
    background
        See :class:`BackgroundDraw`; ``None`` where the recipe keeps the background.
    """

    means: tuple[float, ...]
    stds: tuple[float, ...]
    bias_std: float
    exponent: float
    noise_std: float
    invert: bool
    acquisition: Acquisition
    low_resolution_noise_std: float
    background: BackgroundDraw | None = None


@dataclass(frozen=True)
class Draw:
    """Every random number of one sample; fields and noise are made again from ``seed``.

    Parameters
    ----------
    seed
        Seed of the sample.
    map_index
        Which label map.
    dropped
        Values of labels that become background.
    rotation_deg, shearing, scaling, translation_voxels, elastic_std_voxels
        The deformation.
    corner
        First voxel of the crop; ``None`` for a crop around the brain, which is placed when the draw is applied.
    jitter_voxels
        Shift of a crop around the brain.
    flip
        Mirrored left to right.
    channels
        One per contrast.
    missing_share
        Part of the second channel that is missing: axis, first and last share of the field of view; ``None``: nothing.
    """

    seed: int
    map_index: int
    dropped: tuple[int, ...]
    rotation_deg: Triple
    shearing: tuple[float, ...]
    scaling: Triple
    translation_voxels: Triple
    elastic_std_voxels: float
    corner: Shape3 | None
    jitter_voxels: Shape3
    flip: bool
    channels: tuple[ChannelDraw, ...]
    missing_share: tuple[int, float, float] | None = None

    def to_json(self) -> str:
        """Return the draw as JSON; numbers keep all their digits."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Draw:
        """Read a draw back; one clear line if the text is none."""
        try:
            content = json.loads(text)
        except ValueError as error:
            raise InputError(
                "draw", found=f"no JSON ({error})", expected="the JSON that a draw wrote", remedy="check the file"
            ) from error
        return build(cls, content, "draw")

    def stream(self, kind: int, channel: int = 0) -> int:
        """Return the seed of a field or of noise."""
        return spread(self.seed, kind, channel)
