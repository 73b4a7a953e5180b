"""T1-weighted scans of phantom heads, on the grids of their label maps: all still, contrast apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from synthseg_core.images.label_maps import stem
from synthseg_core.images.reading import write_volume
from synthseg_core.images.volume import Volume
from synthseg_core.synth import BrainGenerator, Recipe, read_maps
from synthseg_core.synth.priors import IntensityPriors
from synthseg_core.synth.randomness import Range
from synthseg_core.synth.specs import (
    BiasFieldSpec,
    CropSpec,
    DeformationSpec,
    IntensitySpec,
    MixtureSpec,
    ResolutionSpec,
)

_STILL = Range.fixed(0)
RECIPE = Recipe(
    deformation=DeformationSpec(_STILL, _STILL, Range.fixed(1), _STILL, elastic_std_voxels=0),
    crop=CropSpec(shape=None, multiple=None),
    flip_probability=0,
    mixture=MixtureSpec(priors=IntensityPriors.builtin("t1_priors"), random_background=False),
    bias_field=BiasFieldSpec(max_std=0.2),
    intensity=IntensitySpec(gamma_std=0),
    resolution=ResolutionSpec(mode="fixed"),
    class_column="class_t1",
)
"""Intensities as the shipped priors say, a mild bias field, no deformation."""


def write_scans(maps: Sequence[Path], folder: Path) -> list[Path]:
    """Write a scan of each label map, named like it with ``T1w`` for ``dseg``, and return the paths.

    Parameters
    ----------
    maps
        Label maps with values of the package's list.
    """
    generator = BrainGenerator(read_maps(maps, RECIPE), RECIPE)
    paths = [folder / f"{stem(path).removesuffix('_dseg')}_T1w.nii.gz" for path in maps]
    for number, path in enumerate(paths):
        sample = generator.apply(replace(generator.draw(number), map_index=number))
        write_volume(path, Volume(sample.image[0].numpy(), sample.affine))
    return paths
