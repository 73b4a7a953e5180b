"""Draws: every random number of one sample, as a value that can be printed, saved and replayed.

Draw the numbers of a sample as its recipe says.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch

from synthseg_core.errors import InputError
from synthseg_core.images.affines import Shape3, Size3, triple
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.group_channels import GroupDraw, draw_groups
from synthseg_core.synth.intensities import draw_mixture
from synthseg_core.synth.randomness import chance, generator, normal, spread, uniform
from synthseg_core.synth.recipe import BackgroundSpec, DeformationSpec, Recipe
from synthseg_core.synth.resolution import Acquisition, draw_acquisition
from synthseg_core.synth.shapes import SampleShape
from synthseg_core.system.settings import build

# Streams of one sample's seed: numbers in a draw, then fields and noise that are made when it is applied.
NUMBERS, ELASTIC, NOISE, BIAS, LOW_RESOLUTION, BACKGROUND, GROUPS, GROUPS_ELASTIC = range(8)


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
    groups
        How the group channels differ from the labels; ``None``: the recipe has none.
    """

    seed: int
    map_index: int
    dropped: tuple[int, ...]
    rotation_deg: Size3
    shearing: tuple[float, ...]
    scaling: Size3
    translation_voxels: Size3
    elastic_std_voxels: float
    corner: Shape3 | None
    jitter_voxels: Shape3
    flip: bool
    channels: tuple[ChannelDraw, ...]
    missing_share: tuple[int, float, float] | None = None
    groups: GroupDraw | None = None

    def to_json(self) -> str:
        """Return the draw as JSON; numbers keep all their digits."""
        return json.dumps(self.to_content(), indent=1)

    def to_content(self) -> dict[str, Any]:
        """Return nested entries; those of group channels, which came later, only where there are some."""
        content = asdict(self)
        if self.groups is None:
            del content["groups"]
        return content

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


def draw_sample(
    recipe: Recipe, labels: GenerationLabels, shape: SampleShape, names: tuple[str, ...], seed: int
) -> Draw:
    """Draw everything about one sample.

    Parameters
    ----------
    recipe
        What samples look like.
    labels
        The label list of the maps.
    shape
        Grids of map, crop and output.
    names
        Of the label maps.
    seed
        The same seed always gives the same draw.
    """
    source = generator(spread(seed, NUMBERS))
    deformation = recipe.deformation
    map_index = draw_map(recipe, len(names), source)
    return Draw(
        seed=seed,
        map_index=map_index,
        dropped=_dropped(recipe, labels, names[map_index], source),
        rotation_deg=_rotation(deformation, source),
        shearing=deformation.shearing.sample(6, source),
        scaling=triple(deformation.scaling.sample(3, source)),
        translation_voxels=triple(deformation.translation_voxels.sample(3, source)),
        elastic_std_voxels=uniform(0, deformation.elastic_std_voxels, source),
        corner=_corner(recipe, shape, source),
        jitter_voxels=_jitter(recipe.crop.jitter_voxels, source),
        flip=chance(recipe.flip_probability, source),
        channels=tuple(_draw_channel(recipe, labels, shape, c, source) for c in range(recipe.channels)),
        missing_share=_missing(recipe.partial_view_probability, source),
        groups=_groups(recipe, labels, seed),
    )


def _groups(recipe: Recipe, labels: GenerationLabels, seed: int) -> GroupDraw | None:
    """Draw from a stream of its own: the rest of a sample is the same with group channels and without."""
    if recipe.group_channels is None:
        return None
    return draw_groups(recipe.group_channels, labels.n_groups, generator(spread(seed, GROUPS)))


def draw_map(recipe: Recipe, n_maps: int, source: torch.Generator) -> int:
    """Draw which label map a sample shows, by the weights of the recipe."""
    weights = recipe.map_weights or (1.0,) * n_maps
    threshold, total = uniform(0, sum(weights), source), 0.0
    for index, weight in enumerate(weights):
        total += weight
        if threshold < total:
            return index
    return n_maps - 1


def _dropped(recipe: Recipe, labels: GenerationLabels, name: str, source: torch.Generator) -> tuple[int, ...]:
    dropped: set[int] = set()
    for drop in recipe.drop_labels:
        if chance(drop.probability, source) and drop.maps in name:
            dropped.update(drop.values or labels.extracerebral)
    return tuple(sorted(dropped))


def _rotation(spec: DeformationSpec, source: torch.Generator) -> Size3:
    angles = spec.rotation_deg.sample(3, source)
    turns = [int(uniform(0, 4, source)) for _ in range(3)] if spec.quarter_turns else (0, 0, 0)
    return triple(tuple(angle + 90 * turn for angle, turn in zip(angles, turns, strict=True)))


def _corner(recipe: Recipe, shape: SampleShape, source: torch.Generator) -> Shape3 | None:
    """Place the crop; its very last position is never used, as in the reference."""
    corner = [math.floor(uniform(0, n - crop, source)) for n, crop in zip(shape.map, shape.crop, strict=True)]
    return None if recipe.crop.centre == "brain" else triple(corner)


def _jitter(largest: int, source: torch.Generator) -> Shape3:
    return triple([round(uniform(-largest, largest, source)) for _ in range(3)])


def _draw_channel(
    recipe: Recipe, labels: GenerationLabels, shape: SampleShape, channel: int, source: torch.Generator
) -> ChannelDraw:
    means, stds = draw_mixture(recipe.mixture, labels.n_classes, channel, source)
    bias, intensity, resolution = recipe.bias_field, recipe.intensity, recipe.resolution
    return ChannelDraw(
        means=means,
        stds=stds,
        bias_std=uniform(0, bias.max_std, source) * chance(bias.probability, source),
        exponent=math.exp(normal(0, intensity.gamma_std, source)),
        noise_std=_noise(intensity.noise_std, intensity.noise_probability, source),
        invert=chance(intensity.invert_probability, source),
        acquisition=draw_acquisition(resolution, shape.voxel_size, channel, source),
        low_resolution_noise_std=_noise(resolution.noise_std, resolution.noise_probability, source),
        background=_background(recipe.background, source),
    )


def _noise(largest: float, probability: float, source: torch.Generator) -> float:
    return uniform(0, largest, source) * chance(probability, source)


def _background(spec: BackgroundSpec, source: torch.Generator) -> BackgroundDraw | None:
    if spec.mode == "keep":
        return None
    zero = chance(spec.zero_probability, source)
    return BackgroundDraw(zero, uniform(0, spec.max_mean, source), uniform(0, spec.max_std, source))


def _missing(probability: float, source: torch.Generator) -> tuple[int, float, float] | None:
    if not chance(probability, source):
        return None
    axis, share = int(uniform(0, 3, source)), uniform(0, 0.5, source)
    start = 0.0 if chance(0.5, source) else 1 - share
    return axis, start, start + share
