"""What makes pairs of predicted and true groups vary: mirroring, faults of the prediction, a partial field of view.

References
----------
Billot et al., PNAS 2023: the prediction alone is cut to a partial field of view in some samples; the score is that of
what is left. Faults on purpose are ours: with them, low scores are as frequent as high ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthseg_core.segmentation.components import bounding_box
from synthseg_core.segmentation.quality import quality_box
from synthseg_core.training.experiment import PairSpec
from synthseg_core.training.quality_pairs import Pair

Groups = NDArray[np.uint8]

# Ours: radius of what grows, shrinks or is lost, side of blocks that are mixed up, mm; share of blocks.
_MARGIN_MM, _BALL_MM, _BLOCK_MM, _BLOCK_SHARE = (2.0, 6.0), (10.0, 60.0), (4.0, 12.0), (0.02, 0.4)


def varied(pair: Pair, spec: PairSpec, voxel_size_mm: float, rng: np.random.Generator) -> Pair:
    """Return a pair mirrored, with faults and a partial view as they are drawn, the prediction in the middle again.

    Parameters
    ----------
    pair
        Made by a segmentation model.
    spec
        How often what happens.
    voxel_size_mm
        Edge of the voxels.
    rng
        Source of all choices.
    """
    predicted, true = pair.predicted, pair.true
    if spec.kept and rng.random() < 0.5:  # new pairs are mirrored by the generator
        predicted, true = predicted[::-1], true[::-1]
    if rng.random() < spec.fault_probability:
        for _ in range(rng.integers(1, 4)):
            fault = _FAULTS[rng.integers(len(_FAULTS))]
            predicted = fault(predicted, len(pair.beyond), voxel_size_mm, rng)
    if rng.random() < spec.partial_view_probability:
        predicted = partial_view(predicted, spec.partial_view_mm / voxel_size_mm, rng)
    return _centred(Pair(predicted, true, pair.beyond))


def partial_view(groups: Groups, shortest: float, rng: np.random.Generator) -> Groups:
    """Return a map with background outside of a box at a random place, with edges of ``shortest`` voxels at least."""
    kept = []
    for n in groups.shape:
        edge = int(rng.uniform(min(shortest, n), n))
        start = int(rng.integers(n - edge + 1))
        kept.append(slice(start, start + edge))
    result = np.zeros_like(groups)
    result[tuple(kept)] = groups[tuple(kept)]
    return result


def _centred(pair: Pair) -> Pair:
    """Place the cube around the prediction as it is now; what leaves it counts as beyond."""
    box = quality_box(pair.predicted, pair.predicted.shape[0])
    predicted, true = box.extract(pair.predicted), box.extract(pair.true)
    moves = (pair.predicted, predicted), (pair.true, true)
    lost = sum(_voxels(old, pair) - _voxels(new, pair) for old, new in moves)
    return Pair(predicted, true, np.maximum(pair.beyond + lost, 0))


def _voxels(groups: Groups, pair: Pair) -> NDArray[np.int64]:
    return np.bincount(groups.ravel(), minlength=len(pair.beyond))


def _resized(groups: Groups, count: int, voxel_size_mm: float, rng: np.random.Generator) -> Groups:
    """Let one group grow into the others, or shrink to the benefit of the background."""
    group, steps = int(rng.integers(1, count)), max(1, round(rng.uniform(*_MARGIN_MM) / voxel_size_mm))
    found = bounding_box(groups == group)
    if found is None:
        return groups
    near = tuple(slice(max(s.start - steps, 0), s.stop + steps) for s in found)
    result, mask = groups.copy(), groups[near] == group
    if rng.random() < 0.5:
        result[near][np.asarray(ndimage.binary_dilation(mask, iterations=steps), bool)] = group
    else:
        core = np.asarray(ndimage.binary_erosion(mask, iterations=steps, border_value=1), bool)
        result[near][mask & ~core] = 0
    return result


def _renamed(groups: Groups, count: int, voxel_size_mm: float, rng: np.random.Generator) -> Groups:
    """Give one group, or all of them, another name in a ball; every second time the name of the background."""
    places = np.flatnonzero(groups)
    if not len(places):
        return groups
    centre = np.unravel_index(places[rng.integers(len(places))], groups.shape)
    radius = rng.uniform(*_BALL_MM) / voxel_size_mm
    sides = zip(centre, groups.shape, strict=True)
    near = tuple(slice(max(int(c - radius), 0), min(int(c + radius) + 1, n)) for c, n in sides)
    grid = np.ogrid[near]
    inside = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) <= radius**2
    part = groups[near]
    chosen = inside & ((part == groups[centre]) if rng.random() < 0.5 else (part > 0))
    result = groups.copy()
    result[near][chosen] = 0 if rng.random() < 0.5 else rng.integers(1, count)
    return result


def _mixed_up(groups: Groups, count: int, voxel_size_mm: float, rng: np.random.Generator) -> Groups:
    """Give the structures of a share of small blocks random names."""
    block, share = max(1, round(rng.uniform(*_BLOCK_MM) / voxel_size_mm)), rng.uniform(*_BLOCK_SHARE)
    coarse = [-(-n // block) for n in groups.shape]
    names = np.where(rng.random(coarse) < share, rng.integers(0, count, coarse), count).astype(np.uint8)
    for axis, n in enumerate(groups.shape):
        names = names.repeat(block, axis).take(range(n), axis)
    return np.where((names < count) & (groups > 0), names, groups)


_FAULTS: tuple[Callable[[Groups, int, float, np.random.Generator], Groups], ...] = (_resized, _renamed, _mixed_up)
