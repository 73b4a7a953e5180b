"""The generator of synthetic brain scans (Billot et al., Medical Image Analysis 2023, section 3.1).

maps = read_label_maps(folder, GenerationLabels.builtin())
sample = BrainGenerator(maps, read_recipe("official")).sample(seed=1)

What must fit together before a sample is made: recipe, label list, label maps, draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from synthseg_core.errors import UsageError
from synthseg_core.images.affines import Shape3
from synthseg_core.labels.lists import GROUPS_COLUMN, GenerationLabels
from synthseg_core.networks.devices import exact_float32
from synthseg_core.synth.channel import Channel
from synthseg_core.synth.deformation import Warp, affine_matrix, elastic_displacement, whole, window
from synthseg_core.synth.draw import ELASTIC, GROUPS_ELASTIC, Draw, draw_sample
from synthseg_core.synth.fields import resize_nearest
from synthseg_core.synth.group_channels import GroupDraw, deformed_again, group_channels
from synthseg_core.synth.intensities import check_priors
from synthseg_core.synth.maps import LabelMaps
from synthseg_core.synth.randomness import generator
from synthseg_core.synth.recipe import DeformationSpec, Recipe
from synthseg_core.synth.shapes import SampleShape, sample_shape


def check_setup(recipe: Recipe, labels: GenerationLabels, n_maps: int) -> None:
    """Refuse a recipe that does not fit the label list and the number of maps."""
    check_priors(recipe.mixture.priors, labels.n_classes)
    _check_columns(recipe, labels)
    _check_sides(recipe, labels)
    _check_dropped(recipe, labels)
    if labels.classes[0] != 0 and recipe.mixture.random_background:
        raise UsageError(
            "recipe: random_background",
            found=f"a label list whose background has class {labels.classes[0]}",
            expected="class 0",
            remedy="number the classes from the background on",
        )
    if recipe.group_channels is not None and not labels.groups:
        raise UsageError(
            "recipe: group_channels",
            found=f"{labels.source} without tissue groups",
            expected=f"the column {GROUPS_COLUMN}",
            remedy="add it to the label list, or leave group_channels out of the recipe",
        )
    weights = recipe.map_weights
    if weights is not None and (len(weights) != n_maps or min(weights) < 0 or sum(weights) <= 0):
        raise UsageError(
            "recipe: map_weights",
            found=f"{len(weights)} weights",
            expected=f"one of 0 or more for each of the {n_maps} maps, not all 0",
            remedy="correct the recipe",
        )


def check_draw(draw: Draw, recipe: Recipe, labels: GenerationLabels, shape: SampleShape, n_maps: int) -> None:
    """Refuse a draw that was made for another recipe, label list or set of maps."""
    corner = draw.corner or (0, 0, 0)
    limits = zip(corner, shape.map, shape.crop, strict=True)
    facts = {
        f"label map {draw.map_index} of {n_maps}": 0 <= draw.map_index < n_maps,
        f"{len(draw.channels)} channels": len(draw.channels) == recipe.channels,
        "another number of classes": all(len(one.means) == len(one.stds) == labels.n_classes for one in draw.channels),
        f"a crop at {corner}": all(0 <= start <= n - crop for start, n, crop in limits),
        f"{len(draw.shearing)} shears": len(draw.shearing) == 6,
        "other group channels": (recipe.group_channels is None) == (draw.groups is None)
        and (draw.groups is None or len(draw.groups.morphology) == labels.n_groups),
        "a background of its own": recipe.background.mode != "keep"
        or all(one.background is None for one in draw.channels),
    }
    if wrong := [what for what, fits in facts.items() if not fits]:
        raise UsageError(
            "draw",
            found=", ".join(wrong),
            expected="what the recipe and the label maps allow",
            remedy="use the recipe, label list and maps that it was drawn with",
        )
    labels.indices_of(draw.dropped)


def _check_columns(recipe: Recipe, labels: GenerationLabels) -> None:
    """Refuse a list that was read with other columns: its classes or targets would be others, in silence."""
    wanted = (recipe.class_column, recipe.output_column)
    if labels.columns is not None and labels.columns != wanted:
        raise UsageError(
            "label list",
            found=f"the columns {' and '.join(labels.columns)}",
            expected=f"{' and '.join(wanted)}, as the recipe says",
            remedy="read the maps with read_maps(folder, recipe)",
        )


def _check_sides(recipe: Recipe, labels: GenerationLabels) -> None:
    if recipe.flip_probability > 0 and labels.n_neutral == len(labels) and looks_sided(labels):
        raise UsageError(
            "flipping",
            found="a label list without sides, although names speak of left and right",
            expected="sides and counterparts, so that labels can be exchanged when heads are mirrored",
            remedy="complete the label list, or set flip_probability to 0",
        )


def _check_dropped(recipe: Recipe, labels: GenerationLabels) -> None:
    for drop in recipe.drop_labels:
        labels.indices_of(drop.values)
        if not drop.values and not labels.extracerebral:
            raise UsageError(
                "recipe: drop_labels",
                found="no values, and a label list that calls none extra-cerebral",
                expected="values to drop",
                remedy="name them, or mark them in the list's column extracerebral",
            )


def looks_sided(labels: GenerationLabels) -> bool:
    """Say whether names of an unsided list speak of left and right."""
    words = " ".join(labels.names).lower().replace("-", " ").replace("_", " ").split()
    return bool({"left", "right", "lh", "rh"} & set(words))


def class_indices(labels: GenerationLabels) -> Tensor:
    """Return for each label of a list the position of its target value; uint8, or int16 for more than 256 targets."""
    position = {value: index for index, value in enumerate(labels.target_values)}
    small = torch.uint8 if len(position) <= _MOST_IN_UINT8 else torch.int16
    return torch.tensor([position[value] for value in labels.outputs], dtype=small)


def brain_labels(labels: GenerationLabels) -> Tensor:
    """Return for each label of a list whether it is a target inside the brain; without such targets, any target."""
    targets = torch.tensor(labels.outputs) > 0
    inside = targets & ~torch.isin(torch.tensor(labels.values), torch.tensor(labels.extracerebral, dtype=torch.long))
    return inside if inside.any() else targets


# Stride of the grid on which the brain's centre is looked for, voxels.
_CENTRE_STRIDE = 4
_MOST_IN_UINT8 = 256


@dataclass(frozen=True)
class SyntheticScan:
    """One synthetic scan with its labels.

    Parameters
    ----------
    image : (C, I, J, K) float32
        In 0..1, RAS+; each contrast followed by the map of its samples if the recipe asks for one, and last the tissue
        groups, likewise.
    index_map : (I, J, K)
        Position of each voxel's target value in ``target_values``: the class index of a network trained on it. uint8,
        or int16 for more than 256 values.
    target_values
        Label values, ascending.
    affine : (4, 4)
        Voxel centres to mm, RAS+; those of the label map's crop.
    """

    image: Tensor
    index_map: Tensor
    target_values: tuple[int, ...]
    affine: np.ndarray

    @cached_property
    def labels(self) -> Tensor:
        """Target label values, (I, J, K) int32."""
        return torch.tensor(self.target_values, dtype=torch.int32, device=self.index_map.device)[self.index_map.int()]

    @property
    def brain_fraction(self) -> float:
        """Share of voxels that carry a target label."""
        return float((self.index_map > 0).float().mean())


@dataclass(frozen=True)
class Sample(SyntheticScan):
    """A synthetic scan, and the draw that made it, with the corner of the crop."""

    draw: Draw


@dataclass(frozen=True)
class Deformed:
    """The label map of a sample.

    Parameters
    ----------
    index_map : (I, J, K)
        List positions, deformed, cropped, possibly mirrored.
    warp, corner
        The deformation, and the first voxel of the crop.
    """

    index_map: Tensor
    warp: Warp
    corner: Shape3


class BrainGenerator:
    """Makes samples from label maps, on the device that holds them.

    Parameters
    ----------
    maps
        Label maps of one shape and voxel size.
    recipe
        What samples look like.

    Raises
    ------
    UsageError
        If recipe, label list and maps do not fit together.
    """

    def __init__(self, maps: LabelMaps, recipe: Recipe | None = None) -> None:
        self.maps = maps
        self.recipe = recipe or Recipe()
        crop = self.recipe.crop
        self.shape: SampleShape = sample_shape(
            maps.shape, maps.voxel_size, crop.shape, crop.multiple, self.recipe.target_voxel_size_mm
        )
        check_setup(self.recipe, self.labels, len(self.maps))
        device = maps.indices.device
        self._classes = torch.tensor(self.labels.classes, device=device)
        self._targets = class_indices(self.labels).to(device)
        self._brain = brain_labels(self.labels).to(device)
        self._groups = torch.tensor(self.labels.groups, dtype=torch.uint8, device=device)
        self._swap = torch.tensor(self.labels.swap_index, dtype=maps.indices.dtype, device=device)

    @property
    def labels(self) -> GenerationLabels:
        """The label list of the maps."""
        return self.maps.labels

    def draw(self, seed: int) -> Draw:
        """Draw the numbers of a sample without making it."""
        return draw_sample(self.recipe, self.labels, self.shape, self.maps.names, seed)

    def sample(self, seed: int) -> Sample:
        """Make a sample; the same seed on the same kind of device gives the same bits."""
        return self.apply(self.draw(seed))

    def batch(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images (B, C, I, J, K) and class indices (B, I, J, K) of several samples."""
        samples = [self.sample(seed) for seed in seeds]
        return torch.stack([s.image for s in samples]), torch.stack([s.index_map for s in samples])

    def apply(self, draw: Draw) -> Sample:
        """Make the sample of a draw, bit for bit the same each time, whatever precision the caller works in."""
        check_draw(draw, self.recipe, self.labels, self.shape, len(self.maps))
        device = self.maps.indices.device
        with torch.no_grad(), exact_float32(), torch.autocast(device.type, enabled=False):
            return self._applied(draw)

    def _applied(self, draw: Draw) -> Sample:
        deformed = self._deformed(draw)
        corner = deformed.corner
        image = torch.cat([*self._rendered(draw, deformed), *self._group_channels(draw, corner)])
        target = resize_nearest(self._targets[deformed.index_map.int()], self.shape.output)
        return Sample(
            image, target, self.labels.target_values, self._affine(draw, corner), replace(draw, corner=corner)
        )

    def _deformed(self, draw: Draw) -> Deformed:
        warp = self._warp(draw, self.recipe.deformation, draw.stream(ELASTIC))
        corner = draw.corner or self._around_brain(warp, self.maps.indices[draw.map_index], draw)
        index_map = self._pulled(draw, warp, corner, self.shape.crop)
        return Deformed(self._swap[index_map.int()].flip(0) if draw.flip else index_map, warp, corner)

    def _rendered(self, draw: Draw, deformed: Deformed) -> list[Tensor]:
        """Return the contrasts, each (1 or 2, I, J, K)."""
        channels = [Channel(self.recipe, self.shape, draw, number) for number in range(self.recipe.channels)]
        return [channel.render(self._classes, deformed.index_map) for channel in channels]

    def _pulled(self, draw: Draw, warp: Warp, corner: Shape3, shape: Shape3) -> Tensor:
        """Return the list positions of a window of the deformed map, without labels that the sample drops."""
        index_map = warp.pull(self.maps.indices[draw.map_index], window(corner, shape))
        if draw.dropped:
            keep = torch.arange(len(self.labels), dtype=index_map.dtype, device=index_map.device)
            keep[list(self.labels.indices_of(draw.dropped))] = 0
            index_map = keep[index_map.int()]
        return index_map

    def _group_channels(self, draw: Draw, corner: Shape3) -> list[Tensor]:
        """Return the tissue groups as channels, mirrored as the labels are; none where the recipe has none."""
        spec = self.recipe.group_channels
        if spec is None or draw.groups is None:
            return []
        first = self._warp(draw, self.recipe.deformation, draw.stream(ELASTIC))
        second = None
        if draw.groups.deformed:
            second = self._warp(draw.groups, spec.deformation, draw.stream(GROUPS_ELASTIC))

        def pull(start: Shape3, shape: Shape3) -> Tensor:
            return self._groups[self._pulled(draw, first, start, shape).int()]

        groups = deformed_again(pull, second, corner, self.shape.crop, self.maps.indices.device)
        channels = group_channels(groups.flip(0) if draw.flip else groups, draw.groups, spec.radius_voxels)
        return [resize_nearest(channel, self.shape.output)[None] for channel in channels]

    def _warp(self, draw: Draw | GroupDraw, spec: DeformationSpec, seed: int) -> Warp:
        elastic = None
        if draw.elastic_std_voxels > 0:
            elastic = elastic_displacement(
                self.maps.shape, draw.elastic_std_voxels, spec, generator(seed), self.maps.indices.device
            )
        matrix = affine_matrix(draw.rotation_deg, draw.shearing, draw.scaling, spec.affine_order)
        return Warp(self.maps.shape, matrix, draw.translation_voxels, elastic, spec.centred_grid)

    def _around_brain(self, warp: Warp, source: Tensor, draw: Draw) -> Shape3:
        """Return the corner of a crop around the brain's centre of mass, kept inside the map."""
        coarse = self._brain[warp.pull(source, whole(self.maps.shape, _CENTRE_STRIDE)).int()]
        corner = []
        for axis, (n, crop) in enumerate(zip(self.maps.shape, self.shape.crop, strict=True)):
            mass = coarse.sum(dim=[other for other in range(3) if other != axis]).cpu().double()
            total = float(mass.sum())
            positions = torch.arange(len(mass), dtype=torch.float64) * _CENTRE_STRIDE
            centre = float((mass * positions).sum()) / total if total else (n - 1) / 2
            first = round(centre - (crop - 1) / 2) + draw.jitter_voxels[axis]
            corner.append(min(max(first, 0), n - crop))
        return corner[0], corner[1], corner[2]

    def _affine(self, draw: Draw, corner: Shape3) -> np.ndarray:
        """Return the affine of the crop; output voxel i lies at ``corner + i * crop / output`` of the map."""
        step = np.divide(self.shape.crop, self.shape.output)
        local = np.eye(4)
        local[:3, :3] = np.diag(step)
        local[:3, 3] = corner
        return self.maps.affine[draw.map_index] @ local
