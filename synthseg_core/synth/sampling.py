"""Draw the numbers of a sample as its recipe says."""

from __future__ import annotations

import math

import torch

from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.draw import NUMBERS, BackgroundDraw, ChannelDraw, Draw
from synthseg_core.synth.intensities import draw_mixture
from synthseg_core.synth.randomness import Triple, chance, normal, uniform
from synthseg_core.synth.recipe import Recipe
from synthseg_core.synth.resolution import draw_acquisition
from synthseg_core.synth.seeds import generator, spread
from synthseg_core.synth.shapes import SampleShape, Shape3
from synthseg_core.synth.specs import BackgroundSpec, DeformationSpec


def draw_sample(
    recipe: Recipe, labels: GenerationLabels, shape: SampleShape, names: tuple[str, ...], seed: int
) -> Draw:
    """Draw everything about one sample.

    Parameters
    ----------
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
    map_index = _choose_map(recipe, len(names), source)
    return Draw(
        seed=seed,
        map_index=map_index,
        dropped=_dropped(recipe, labels, names[map_index], source),
        rotation_deg=_rotation(deformation, source),
        shearing=deformation.shearing.sample(6, source),
        scaling=_three(deformation.scaling.sample(3, source)),
        translation_voxels=_three(deformation.translation_voxels.sample(3, source)),
        elastic_std_voxels=uniform(0, deformation.elastic_std_voxels, source),
        corner=_corner(recipe, shape, source),
        jitter_voxels=_jitter(recipe.crop.jitter_voxels, source),
        flip=chance(recipe.flip_probability, source),
        channels=tuple(_draw_channel(recipe, labels, shape, c, source) for c in range(recipe.channels)),
        missing_share=_missing(recipe.partial_view_probability, source),
    )


def _choose_map(recipe: Recipe, n_maps: int, source: torch.Generator) -> int:
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


def _rotation(spec: DeformationSpec, source: torch.Generator) -> Triple:
    angles = spec.rotation_deg.sample(3, source)
    turns = [int(uniform(0, 4, source)) for _ in range(3)] if spec.quarter_turns else (0, 0, 0)
    return _three(tuple(angle + 90 * turn for angle, turn in zip(angles, turns, strict=True)))


def _corner(recipe: Recipe, shape: SampleShape, source: torch.Generator) -> Shape3 | None:
    """Place the crop; its very last position is never used, as in the reference."""
    corner = [math.floor(uniform(0, n - crop, source)) for n, crop in zip(shape.map, shape.crop, strict=True)]
    return None if recipe.crop.centre == "brain" else _whole(corner)


def _jitter(largest: int, source: torch.Generator) -> Shape3:
    return _whole([round(uniform(-largest, largest, source)) for _ in range(3)])


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


def _three(values: tuple[float, ...]) -> Triple:
    x, y, z = values
    return x, y, z


def _whole(values: list[int]) -> Shape3:
    x, y, z = values
    return x, y, z
