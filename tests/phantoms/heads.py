"""Heads made of every label of the package's list, and label maps without voxels for tests of draws alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from synthseg_core.synth import GenerationLabels, LabelMaps, Recipe, read_recipe
from synthseg_core.synth.randomness import Range
from synthseg_core.synth.recipe import CropSpec, DeformationSpec
from tests.phantoms.scans import oblique_affine

SHAPE = (44, 56, 50)
# From the table published with the generator's labels, written out again: left value, right value.
PAIRS = (
    *((2, 41), (3, 42), (4, 43), (5, 44), (7, 46), (8, 47), (10, 49), (11, 50), (12, 51)),
    *((13, 52), (17, 53), (18, 54), (25, 57), (26, 58), (28, 60), (30, 62), (136, 163), (137, 164)),
)
STILL = DeformationSpec(Range.fixed(0), Range.fixed(0), Range.fixed(1), Range.fixed(0), elastic_std_voxels=0)
SMALL = CropSpec(shape=(32, 40, 36), multiple=4)


def head(labels: GenerationLabels, shape=SHAPE, seed=0) -> np.ndarray:
    """List positions (I, J, K): blocks of all labels within an ellipsoid, left labels left, right labels right."""
    rng = np.random.default_rng(seed)
    i, j, k = shape
    blocks = tuple(-(-n // 6) for n in shape)
    half = (len(labels) - labels.n_neutral) // 2
    grid = rng.integers(1, labels.n_neutral, blocks)
    left, right = (range(labels.n_neutral + side * half, labels.n_neutral + (side + 1) * half) for side in (0, 1))
    middle = blocks[0] // 2
    for part, side in ((grid[:middle], left), (grid[middle:], right)):
        sided = rng.random(part.shape) < 0.7
        part[sided] = rng.choice(np.array(side), int(sided.sum()))
    data = grid.repeat(6, 0).repeat(6, 1).repeat(6, 2)[:i, :j, :k]
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    data[sum(axis**2 for axis in axes) > 0.95] = 0
    return data


def phantom_maps(labels: GenerationLabels | None = None, count=2, shape=SHAPE, voxel_size=(1.0, 1.0, 1.0)) -> LabelMaps:
    """Different heads on one oblique grid."""
    labels = labels or GenerationLabels.builtin()
    data = np.stack([head(labels, shape, seed) for seed in range(count)]).astype(np.uint8)
    affine = oblique_affine(voxel_size)
    names = tuple(f"head_{number}" for number in range(count))
    return LabelMaps(torch.from_numpy(data), (affine,) * count, voxel_size, names, labels)


def hollow_maps(labels: GenerationLabels | None = None, count=3, shape=(256, 256, 256)) -> LabelMaps:
    """Maps of full size that occupy a single byte: enough to draw from."""
    indices = torch.zeros((), dtype=torch.uint8).expand(count, *shape)
    names = tuple(f"head_{number}" for number in range(count))
    return LabelMaps(indices, (np.eye(4),) * count, (1.0, 1.0, 1.0), names, labels or GenerationLabels.builtin())


def small(name: str = "official", **changes) -> Recipe:
    """A preset with crops that fit the phantom."""
    return replace(read_recipe(name), **({"crop": SMALL} | changes))
