"""Phantom heads: label maps of ellipsoids where structures are, and T1-weighted scans of them.

The maps carry the label values of the published training maps, tell left from right, and differ from each other as much
as heads do. What a network learns from them is of no use for real scans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from synthseg_core.images.affines import Size3
from synthseg_core.images.label_maps import stem
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.synth import BrainGenerator, Recipe, read_maps
from synthseg_core.synth.priors import IntensityPriors
from synthseg_core.synth.randomness import Range
from synthseg_core.synth.recipe import (
    BiasFieldSpec,
    ContrastSpec,
    CropSpec,
    DeformationSpec,
    MixtureSpec,
    ResolutionSpec,
)

EXTENT_MM = (160.0, 192.0, 160.0)
"""Edges of the field of view, left-right, posterior-anterior, inferior-superior."""
# How much heads differ, standard deviations: size of the head and of a structure as shares, its position in mm.
_HEAD_SPREAD, _SIZE_SPREAD, _PLACE_SPREAD_MM = 0.04, 0.06, 1.0
_MOST_SHARE, _MOST_MM = 0.15, 2.0  # by which a radius differs
_FOLD_MM = 14.0  # distance between folds of the cortex
_FISSURE_MM = 1.5  # half the gap between the hemispheres
_FLUID, _CORTEX = 24, (3, 42)
_STILL = Range.fixed(0)
RECIPE = Recipe(
    deformation=DeformationSpec(_STILL, _STILL, Range.fixed(1), _STILL, elastic_std_voxels=0),
    crop=CropSpec(shape=None, multiple=None),
    flip_probability=0,
    mixture=MixtureSpec(priors=IntensityPriors.builtin("t1_priors"), random_background=False),
    bias_field=BiasFieldSpec(max_std=0.2),
    intensity=ContrastSpec(gamma_std=0),
    resolution=ResolutionSpec(mode="fixed"),
    class_column="class_t1",
)
"""Intensities as the shipped priors say, a mild bias field, no deformation."""


def head(seed: int, voxel_size_mm: float = 1.0) -> Volume:
    """Return the label map of one head (I, J, K), int16, RAS+; the same seed gives the same head at any voxel size.

    Parameters
    ----------
    seed
        Number of the head.
    voxel_size_mm
        Edge of the voxels; the field of view stays the same.
    """
    generator = np.random.default_rng(seed)
    i, j, k = (round(extent / voxel_size_mm) for extent in EXTENT_MM)
    affine = np.diag([voxel_size_mm, voxel_size_mm, voxel_size_mm, 1.0])
    affine[:3, 3] = -voxel_size_mm * (np.array((i, j, k)) - 1) / 2
    stretch = generator.normal(1, _HEAD_SPREAD, 3).clip(0.92, 1.04)
    axes = [(np.arange(n) - (n - 1) / 2) * voxel_size_mm / s for n, s in zip((i, j, k), stretch, strict=True)]
    labels, brain = np.zeros((2, i, j, k), np.int16)
    for part in _SHELLS:
        _paint(labels, axes, part)
    for part in _BRAIN:
        _paint(brain, axes, part, generator)
    brain[(np.abs(axes[0]) < _FISSURE_MM)[:, None, None] & np.isin(brain, _CORTEX)] = 0
    return Volume(np.where((labels == _FLUID) & (brain > 0), brain, labels), affine)


def write_heads(folder: Path, count: int = 4, voxel_size_mm: float = 1.0, first: int = 1) -> list[Path]:
    """Write the label maps of different heads and return their paths; the same files every time.

    Parameters
    ----------
    folder
        Where they go; made if it is not there.
    count
        How many heads.
    voxel_size_mm
        Edge of the voxels.
    first
        Number of the first head: others make heads that are not among these.
    """
    paths = [folder / f"sub-{number:02d}_dseg.nii.gz" for number in range(first, first + count)]
    for seed, path in enumerate(paths, start=first):
        write_volume(path, head(seed, voxel_size_mm))
    return paths


def write_scans(maps: Sequence[Path], folder: Path) -> list[Path]:
    """Write a scan of each label map, named like it with ``T1w`` for ``dseg``, and return the paths.

    Parameters
    ----------
    maps
        Label maps with values of the package's list.
    folder
        Where scans go; made if it is not there.
    """
    generator = BrainGenerator(read_maps(maps, RECIPE), RECIPE)
    paths = [folder / f"{stem(path).removesuffix('_dseg')}_T1w.nii.gz" for path in maps]
    for number, path in enumerate(paths):
        sample = generator.apply(replace(generator.draw(number), map_index=number))
        write_volume(path, Volume(sample.image[0].numpy(), sample.affine))
    return paths


@dataclass(frozen=True)
class Part:
    """A structure: an ellipsoid, or a pair of them.

    Parameters
    ----------
    value
        Label; for pairs that of the left one.
    centre_mm
        Position (right, front, up) from the centre of the head; for pairs that of the right one.
    radii_mm
        Half axes.
    right
        Label of the right one of a pair; ``None``: a single structure.
    folds
        Amplitude of the folds of its surface, as a share of the radius.
    """

    value: int
    centre_mm: Size3
    radii_mm: Size3
    right: int | None = None
    folds: float = 0.0


_SHELLS = (
    Part(511, (0, 0, 0), (76, 92, 76)),  # skin
    Part(515, (0, 0, 0), (70, 86, 70)),  # bone
    Part(506, (30, 73, -22), (11, 11, 11), right=506),  # eyes
    Part(24, (0, 0, 0), (65, 81, 65)),  # fluid, and all that lies within
)


# Painted in this order, within the fluid only. Anatomy is coarse; sizes are those of an adult.
_BRAIN = (
    Part(3, (0, 2, 5), (60, 75, 56), right=42, folds=0.02),
    Part(2, (0, 2, 5), (52, 67, 48), right=41, folds=0.08),
    Part(8, (24, -50, -36), (25, 23, 17), right=47, folds=0.03),
    Part(7, (20, -48, -35), (14, 12, 8), right=46),
    Part(16, (0, -26, -34), (12, 11, 26)),
    Part(28, (9, -13, -8), (7, 9, 5), right=60),
    Part(5, (30, -12, -11), (4, 15, 4), right=44),
    Part(17, (27, -20, -16), (6, 17, 6), right=53),
    Part(18, (22, 2, -17), (6, 7, 6), right=54),
    Part(4, (11, -2, 15), (6, 27, 8), right=43),
    Part(11, (16, 14, 13), (5, 16, 7), right=50),
    Part(10, (10, -14, 3), (8, 13, 8), right=49),
    Part(12, (27, 5, 3), (6, 16, 9), right=51),
    Part(13, (20, 1, 1), (4, 9, 6), right=52),
    Part(26, (9, 17, -3), (4, 5, 4), right=58),
    Part(14, (0, -10, 1), (2, 12, 8)),
    Part(15, (0, -40, -34), (5, 6, 8)),
)


def _paint(
    labels: np.ndarray, axes: list[np.ndarray], part: Part, generator: np.random.Generator | None = None
) -> None:
    """Paint one structure, or both of a pair; with a generator, each of a size, place and surface of its own."""
    if part.right is None:
        _paint_one(labels, axes, part, generator)
        return
    middle = len(labels) // 2
    x, y, z = part.centre_mm
    left, right = replace(part, centre_mm=(-x, y, z)), replace(part, value=part.right)
    _paint_one(labels[:middle], [axes[0][:middle], *axes[1:]], left, generator)
    _paint_one(labels[middle:], [axes[0][middle:], *axes[1:]], right, generator)


def _paint_one(labels: np.ndarray, axes: list[np.ndarray], part: Part, generator: np.random.Generator | None) -> None:
    centre, radii, phase = np.array(part.centre_mm), np.array(part.radii_mm), np.zeros(3)
    if generator is not None:
        most = np.minimum(_MOST_SHARE, _MOST_MM / radii)
        radii = radii * (1 + generator.normal(0, _SIZE_SPREAD, 3).clip(-most, most))
        centre = centre + generator.normal(0, _PLACE_SPREAD_MM, 3) * (centre != 0)
        phase = generator.uniform(0, 2 * np.pi, 3)
    reach = radii * (1 + part.folds)
    near = [np.abs(axis - c) < r for axis, c, r in zip(axes, centre, reach, strict=True)]
    box = tuple(slice(int(n.argmax()), int(n.argmax() + n.sum())) for n in near)
    within = [axis[part] for axis, part in zip(axes, box, strict=True)]
    x, y, z = ((axis - c) / r for axis, c, r in zip(within, centre, radii, strict=True))
    a, b, c = (np.sin(2 * np.pi * axis / _FOLD_MM + p) for axis, p in zip(within, phase, strict=True))
    surface = 1 + part.folds * a[:, None, None] * b[:, None] * c
    labels[box][x[:, None, None] ** 2 + y[:, None] ** 2 + z**2 < surface**2] = part.value
