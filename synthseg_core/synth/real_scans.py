"""Real scans with label maps: deformed together, with the intensity changes of a recipe; mixed with synthetic ones.

References
----------
SynthSeg's supervised training: as for synthetic scans, but the intensities are those of the scan, interpolated
linearly; noise is added to intensities of 0 to 255, here between the percentiles that prediction maps to 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import affine_transform
from torch import Tensor
from torch.nn import functional

from synthseg_core.errors import InputError
from synthseg_core.images.affines import Shape3, triple
from synthseg_core.images.label_maps import nearest_labels, read_ras_labels
from synthseg_core.images.pairs import Case, read_on_grid
from synthseg_core.images.volume import Volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.channel import Channel
from synthseg_core.synth.deformation import Warp, window
from synthseg_core.synth.draw import Draw
from synthseg_core.synth.generator import BrainGenerator, Deformed
from synthseg_core.synth.maps import LabelMaps, Unknown, encoded
from synthseg_core.synth.randomness import chance, generator, spread
from synthseg_core.synth.recipe import Recipe
from synthseg_core.system import memory
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.words import counted

# Percentiles of a scan that become 0 and the largest intensity; those of prediction.
_PERCENTILES, _LARGEST = (0.5, 99.5), 255.0
_SIZE_TOLERANCE_MM = 1e-3
# Stream of a sample's seed that decides whether it is synthetic; the generator's own are the first ones.
_CHOICE = 101


@dataclass(frozen=True)
class RealScans:
    """Scans and label maps on one grid.

    Parameters
    ----------
    maps
        Label maps of one shape and voxel size.
    images : (M, I, J, K)
        Their scans, float32, 0 to 255.
    """

    maps: LabelMaps
    images: Tensor

    def to(self, device: torch.device | str) -> RealScans:
        """Return the same on another device."""
        return RealScans(self.maps.to(device), self.images.to(device))


def read_real_scans(
    cases: Sequence[Case],
    labels: GenerationLabels,
    voxel_size_mm: float | None = None,
    *,
    unknown: Unknown = "refuse",
    progress: OnProgress | None = None,
) -> RealScans:
    """Read scans with their label maps; those of another voxel size are resampled, smaller ones surrounded by zeros.

    Parameters
    ----------
    cases
        Each a label map and one scan on its grid.
    labels
        What the values of the maps mean.
    voxel_size_mm
        Edge of the voxels of all; ``None``: the mean edge of the first map.
    unknown
        What to do about values that the list lacks.
    progress
        Called with the number of pairs read and of all pairs.

    Raises
    ------
    SynthSegError
        If a file is unreadable, a scan lies on another grid than its map, a map contradicts the list, or all of them
        would not fit into memory.
    """
    pairs = []
    for number, case in enumerate(cases, start=1):
        label_map = read_ras_labels(case.label_map)
        if voxel_size_mm is None:
            voxel_size_mm = round(float(np.mean(label_map.voxel_size)), 4)
        image = Volume(read_on_grid(case.images[0][1], label_map, case.label_map), label_map.affine)
        image = replace(image, data=_scaled(image.data, case.images[0][1]))
        pairs.append((_resampled(image, voxel_size_mm, 1), _resampled(label_map, voxel_size_mm, 0)))
        if number == 1:
            needed = 5 * len(cases) * pairs[0][0].data.size  # float32 and a byte a voxel
            memory.require(needed, case.label_map.parent, counted(len(cases), "scan"))
        if progress is not None:
            progress(number, len(cases))
    shape = triple([max(image.shape[axis] for image, _ in pairs) for axis in range(3)])
    indices = [
        encoded(_centred(label_map, shape), labels, unknown, case.label_map)
        for (_, label_map), case in zip(pairs, cases, strict=True)
    ]
    images = [torch.from_numpy(_centred(image, shape).data) for image, _ in pairs]
    edge = voxel_size_mm or 1.0
    names = tuple(case.images[0][0] for case in cases)
    affines = tuple(one.affine for one in indices)
    maps = LabelMaps(
        torch.stack([torch.from_numpy(one.data) for one in indices]), affines, (edge, edge, edge), names, labels
    )
    return RealScans(maps, torch.stack(images))


class RealScanGenerator(BrainGenerator):
    """Makes samples of real scans, as :class:`~synthseg_core.synth.generator.BrainGenerator` does of label maps.

    Of the recipe it takes deformation, crop, mirroring, bias field, noise, gamma and inversion. It simulates an
    acquisition only if the recipe draws or names a spacing.

    Parameters
    ----------
    scans
        Real scans with label maps.
    recipe
        What is done to them.
    """

    def __init__(self, scans: RealScans, recipe: Recipe) -> None:
        super().__init__(scans.maps, recipe)
        self.images = scans.images

    def as_they_are(self, number: int) -> tuple[Tensor, Tensor]:
        """Return a scan (1, 1, I, J, K) in 0 to 1 and its classes (1, I, J, K), cropped but otherwise unchanged."""
        number %= len(self.maps)
        still = Warp(self.maps.shape, torch.eye(3, dtype=torch.float64))
        draw = replace(self.draw(number), map_index=number, jitter_voxels=(0, 0, 0))
        corner = self._around_brain(still, self.maps.indices[number], draw)
        index_map = self._pulled(replace(draw, dropped=()), still, corner, self.shape.crop)
        image = self._linear(still, number, corner) / _LARGEST
        return image[None, None], self._targets[index_map.int()][None]

    def _rendered(self, draw: Draw, deformed: Deformed) -> list[Tensor]:
        image = self._linear(deformed.warp, draw.map_index, deformed.corner)
        channel = Channel(self.recipe, self.shape, draw, 0)
        changed = channel.with_bias_and_gamma(image.flip(0) if draw.flip else image)
        resolution = self.recipe.resolution
        degraded = resolution.mode == "random" or resolution.spacing_mm is not None
        return [(channel.acquired(changed) if degraded else changed)[None]]

    def _linear(self, warp: Warp, number: int, corner: Shape3) -> Tensor:
        """Return a window of a deformed scan, (I, J, K); edges repeated."""
        image = self.images[number]
        places = warp.coordinates(window(corner, self.shape.crop), image.device)
        scaled = [2 * place / max(n - 1, 1) - 1 for place, n in zip(places, image.shape, strict=True)]
        grid = torch.stack(scaled[::-1], dim=-1)[None]
        return functional.grid_sample(
            image[None, None], grid, mode="bilinear", padding_mode="border", align_corners=True
        )[0, 0]


class MixedScans:
    """Hands out real or synthetic samples, decided by the seed of each.

    Parameters
    ----------
    real, synthetic
        What makes them; samples of both have one shape.
    synthetic_share
        Share of synthetic ones.
    """

    def __init__(self, real: RealScanGenerator, synthetic: BrainGenerator, synthetic_share: float) -> None:
        self.real, self.synthetic, self.synthetic_share = real, synthetic, synthetic_share

    def batch(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images (B, 1, I, J, K) and class indices (B, I, J, K)."""
        samples = [self._source(seed).sample(seed) for seed in seeds]
        return torch.stack([one.image for one in samples]), torch.stack([one.index_map for one in samples])

    def draw(self, seed: int) -> Draw:
        """Return the draw of a sample, for the record of one that went wrong."""
        return self._source(seed).draw(seed)

    def _source(self, seed: int) -> BrainGenerator:
        is_synthetic = chance(self.synthetic_share, generator(spread(seed, _CHOICE)))
        return self.synthetic if is_synthetic else self.real


def _scaled(data: np.ndarray, path: Path) -> np.ndarray:
    low, high = np.percentile(data, _PERCENTILES)
    if not high > low:
        raise InputError(
            path,
            found="one intensity in 99 % of the voxels",
            expected="a scan",
            remedy="remove it together with its label map",
        )
    return ((data - low) * (_LARGEST / (high - low))).clip(0, _LARGEST).astype(np.float32)


def _resampled(volume: Volume, edge_mm: float, order: int) -> Volume:
    """Return a volume with voxels of one size, on axes through the same centre; scans linearly, labels the nearest."""
    sizes = np.array(volume.voxel_size)
    if np.abs(sizes - edge_mm).max() <= _SIZE_TOLERANCE_MM:
        return volume
    shape = triple([max(math.ceil(n * size / edge_mm - 1e-6), 1) for n, size in zip(volume.shape, sizes, strict=True)])
    step = np.diag([*(edge_mm / sizes), 1.0])
    step[:3, 3] = (np.array(volume.shape) - 1) / 2 - step[:3, :3] @ ((np.array(shape) - 1) / 2)
    affine = volume.affine @ step
    if order == 0:
        return Volume(nearest_labels(volume, shape, affine), affine)
    data = affine_transform(volume.data, step, output_shape=shape, order=1, mode="nearest")
    return Volume(data, affine)


def _centred(volume: Volume, shape: Shape3) -> Volume:
    """Return a volume in the middle of a larger grid of zeros."""
    before = [(n - own) // 2 for n, own in zip(shape, volume.shape, strict=True)]
    margins = [(start, n - own - start) for start, n, own in zip(before, shape, volume.shape, strict=True)]
    affine = np.array(volume.affine, np.float64)
    affine[:3, 3] -= affine[:3, :3] @ np.array(before, np.float64)
    return Volume(np.pad(volume.data, margins), affine)
