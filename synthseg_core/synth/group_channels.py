"""Tissue groups as further channels of a sample, imperfect as those of the robust chain's first networks.

The groups of the deformed labels are deformed a second time, a little, and each channel is dilated or eroded by itself,
so that channels may overlap or leave gaps.

References
----------
Billot et al., Robust machine learning segmentation for large-scale analysis of heterogeneous clinical brain MRI
datasets, PNAS 2023, and the published training scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from synthseg_core.images.affines import Shape3, Size3, triple
from synthseg_core.synth.deformation import Warp, window
from synthseg_core.synth.randomness import chance, uniform
from synthseg_core.synth.recipe import GroupChannelsSpec

KEPT, DILATED, ERODED = 0, 1, -1


@dataclass(frozen=True)
class GroupDraw:
    """How the groups of one sample differ from its labels.

    Parameters
    ----------
    deformed
        Whether they are deformed a second time.
    rotation_deg, shearing, scaling, translation_voxels, elastic_std_voxels
        The second deformation.
    morphology
        For each group 1 (dilated), -1 (eroded) or 0.
    """

    deformed: bool
    rotation_deg: Size3
    shearing: tuple[float, ...]
    scaling: Size3
    translation_voxels: Size3
    elastic_std_voxels: float
    morphology: tuple[int, ...]


def draw_groups(spec: GroupChannelsSpec, n_groups: int, source: torch.Generator) -> GroupDraw:
    """Draw how groups differ from labels.

    Parameters
    ----------
    spec
        Ranges and probabilities.
    n_groups
        Channels, background included.
    source
        Of random numbers.
    """
    second = spec.deformation
    return GroupDraw(
        deformed=chance(spec.deformation_probability, source),
        rotation_deg=triple(second.rotation_deg.sample(3, source)),
        shearing=second.shearing.sample(6, source),
        scaling=triple(second.scaling.sample(3, source)),
        translation_voxels=triple(second.translation_voxels.sample(3, source)),
        elastic_std_voxels=uniform(0, second.elastic_std_voxels, source),
        morphology=tuple(_morphology(spec, source) for _ in range(n_groups)),
    )


def _morphology(spec: GroupChannelsSpec, source: torch.Generator) -> int:
    share = uniform(0, 1, source)
    if share < spec.dilation_probability:
        return DILATED
    return ERODED if share < spec.dilation_probability + spec.erosion_probability else KEPT


Pull = Callable[[Shape3, Shape3], Tensor]
"""Takes first voxel and shape of a window, and returns the groups (I, J, K) of the deformed map there."""


def deformed_again(pull: Pull, warp: Warp | None, corner: Shape3, shape: Shape3, device: torch.device) -> Tensor:
    """Return the groups of a window, deformed a second time; what comes from outside of the window is right, too.

    Parameters
    ----------
    pull
        Gives the groups of any window of the once deformed map.
    warp
        The second deformation, of the whole map; ``None``: none.
    corner, shape
        Of the window.
    device
        Where it is computed.
    """
    if warp is None:
        return pull(corner, shape)
    limits = zip(warp.coordinates(window(corner, shape), device), warp.shape, strict=True)
    places = [coordinate.round_().clamp_(0, n - 1).long() for coordinate, n in limits]
    first = triple([int(place.min()) for place in places])
    last = [int(place.max()) for place in places]
    wider = pull(first, triple([stop - start + 1 for start, stop in zip(first, last, strict=True)]))
    i, j, k = (place - start for place, start in zip(places, first, strict=True))
    return wider[i, j, k]


def group_channels(groups: Tensor, draw: GroupDraw, radius_voxels: float) -> Tensor:
    """Return one channel a group, (G, I, J, K) float32, 0 or 1; as many as the draw has, background first.

    Parameters
    ----------
    groups : (I, J, K)
        Group of each voxel.
    draw
        Which channels are dilated or eroded.
    radius_voxels
        By how much.
    """
    channels = torch.stack([groups == group for group in range(len(draw.morphology))])
    change = {KEPT: lambda mask, _: mask, DILATED: dilated, ERODED: eroded}
    return torch.stack(
        [change[kind](mask, radius_voxels) for mask, kind in zip(channels, draw.morphology, strict=True)]
    ).float()


def dilated(mask: Tensor, radius_voxels: float) -> Tensor:
    """Return a mask (I, J, K) and all voxels whose centre is no further from one of it than the radius."""
    offsets = torch.arange(-int(radius_voxels), int(radius_voxels) + 1, device=mask.device)
    x, y, z = torch.meshgrid(offsets, offsets, offsets, indexing="ij")
    ball = (x**2 + y**2 + z**2 <= radius_voxels**2).float()
    reached = functional.conv3d(mask[None, None].float(), ball[None, None], padding=int(radius_voxels))
    return reached[0, 0] > 0.5


def eroded(mask: Tensor, radius_voxels: float) -> Tensor:
    """Return the voxels of a mask (I, J, K) further inside than the radius; outside of the volume counts as inside."""
    return ~dilated(~mask, radius_voxels)
