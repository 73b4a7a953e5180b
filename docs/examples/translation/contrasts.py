"""Scans of two contrasts from label maps: T1-like ones, and inverted ones under a strong bias field; four tissues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.synth import BrainGenerator, Recipe, read_maps, read_recipe
from synthseg_core.synth.priors import IntensityPriors
from synthseg_core.synth.randomness import Range
from synthseg_core.synth.recipe import BiasFieldSpec, ContrastSpec, ResolutionSpec

TISSUES = {
    "white matter": (2, 41, 7, 46, 16, 28, 60),
    "cortex": (3, 42, 8, 47),
    "deep grey matter": (10, 11, 12, 13, 17, 18, 26, 49, 50, 51, 52, 53, 54, 58),
    "ventricles": (4, 5, 14, 15, 43, 44),
}
"""Numbered from 1 in this order; values of the label maps."""

# Classes of the priors that stay dark in both contrasts: air, eyeballs as they come with the maps, cortical bone.
_DARK = (0, 15, 22)
# White matter of 160 becomes 60, fluid of 44 becomes 176; nothing becomes darker than fat-free air.
_INVERTED_FROM, _LEAST = 220.0, 20.0
# Scans of one contrast differ less than scans of all scanners in the world, from which the priors were measured.
_SPREAD, _NOISE = 0.3, 0.5


@dataclass(frozen=True)
class Contrast:
    """What scans of a domain look like.

    Parameters
    ----------
    name
        Of the domain.
    mean
        Mean intensity of a class, from that of the T1 priors and its number.
    bias
        Largest deviation of the logarithm of the bias field.
    """

    name: str
    mean: Callable[[float, int], float]
    bias: float


T1 = Contrast("T1w", lambda mean, _: mean, 0.2)
INVERTED = Contrast(
    "inverted", lambda mean, number: mean if number in _DARK else max(_LEAST, _INVERTED_FROM - mean), 0.5
)


def write_scans(folder: Path, contrast: Contrast, maps: Sequence[Path], count: int, seed: int) -> list[Path]:
    """Write scans ``sub-<seed><number>.nii.gz``, and their tissues into ``folder/labels``; return the scans.

    Parameters
    ----------
    folder
        To write to.
    contrast
        Of the scans.
    maps
        Label maps, taken at random and deformed.
    count
        How many scans.
    seed
        Of the first one; the others count on.
    """
    recipe = recipe_of(contrast)
    generator = BrainGenerator(read_maps(list(maps), recipe), recipe)
    paths: list[Path] = []
    for number in range(count):
        sample = generator.sample(seed + number)
        path = folder / f"sub-{seed + number:04d}.nii.gz"
        write_volume(path, Volume(sample.image[0].numpy(), sample.affine))
        write_volume(folder / "labels" / path.name, Volume(tissues_of(sample.labels.numpy()), sample.affine))
        paths.append(path)
    return paths


def recipe_of(contrast: Contrast) -> Recipe:
    """Return the generator's recipe for a contrast: 2 mm, whole heads, moderate deformations."""
    base = read_recipe("default_2mm")
    measured = IntensityPriors.builtin("t1_priors")
    means = tuple(
        tuple((contrast.mean(mean, number), _SPREAD * std) for number, (mean, std) in enumerate(block))
        for block in measured.means
    )
    stds = tuple(tuple((_NOISE * mean, _SPREAD * std) for mean, std in block) for block in measured.stds)
    return replace(
        base,
        mixture=replace(base.mixture, priors=IntensityPriors(means, stds), random_background=False),
        class_column="class_t1",
        bias_field=BiasFieldSpec(max_std=contrast.bias, scale=0.05),
        intensity=ContrastSpec(gamma_std=0.1),
        resolution=ResolutionSpec(mode="fixed"),
        deformation=replace(base.deformation, scaling=Range(0.9, 1.1)),
        drop_labels=(),
    )


def tissues_of(labels: np.ndarray) -> np.ndarray:
    """Return the tissues of label values, uint8; 0 for everything else."""
    tissues = np.zeros(labels.shape, np.uint8)
    for number, values in enumerate(TISSUES.values(), 1):
        tissues[np.isin(labels, values)] = number
    return tissues
