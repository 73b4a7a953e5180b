"""Recipes: every setting of the generator, grouped by step.

Settings of each step of the generator; :class:`synthseg_core.synth.recipe.Recipe` holds one of each.

Numbers are those of SynthSeg's generator (Billot et al., Medical Image Analysis 2023, table 2, and the published
training scripts). Voxels are those of the label maps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from synthseg_core.errors import UsageError
from synthseg_core.synth.priors import IntensityPriors
from synthseg_core.synth.randomness import Range
from synthseg_core.system.settings import to_content

AFFINE_ORDERS = ("scale_shear_rotate", "rotate_shear_scale")
CROP_CENTRES = ("anywhere", "brain")
RESOLUTION_MODES = ("random", "fixed")
BACKGROUNDS = ("keep", "reset", "masked")


@dataclass(frozen=True)
class DeformationSpec:
    """Affine and elastic deformation of the label map.

    Parameters
    ----------
    rotation_deg, shearing, scaling, translation_voxels
        Ranges of the affine part, which acts from output to input: a scaling above 1 makes the head smaller.
    elastic_std_voxels
        Largest standard deviation of the velocity field's nodes, in voxels of the half-size grid that it is integrated
        on; the displacement is used as it is on the full grid, as in the reference.
    elastic_scale
        Nodes per voxel of the velocity field.
    affine_order
        Product of the three matrices, the one that acts last written first: ``scale_shear_rotate`` as in the
        reference, ``rotate_shear_scale`` as in partial-volume SynthSeg.
    quarter_turns
        Add a random multiple of 90 degrees about each axis; for maps whose axes have the same length.
    centred_grid
        Align the grids of the velocity field by their centres. The reference aligns their first corners, which leaves
        the last voxels of each axis constant.
    """

    rotation_deg: Range = Range(-15, 15)
    shearing: Range = Range(-0.012, 0.012)
    scaling: Range = Range(0.8, 1.2)
    translation_voxels: Range = Range(0, 0)
    elastic_std_voxels: float = 4.0
    elastic_scale: float = 0.04
    affine_order: str = "scale_shear_rotate"
    quarter_turns: bool = False
    centred_grid: bool = False

    def __post_init__(self) -> None:
        require("scaling", self.scaling, self.scaling.lowest > 0, "factors above 0")
        require("affine_order", self.affine_order, self.affine_order in AFFINE_ORDERS, " or ".join(AFFINE_ORDERS))
        require("elastic_std_voxels", self.elastic_std_voxels, self.elastic_std_voxels >= 0, "0 or more")
        require("elastic_scale", self.elastic_scale, 0 < self.elastic_scale <= 1, "above 0, at most 1")


@dataclass(frozen=True)
class CropSpec:
    """Which part of the deformed map a sample shows.

    Parameters
    ----------
    shape
        Voxels of the output grid per axis; ``None``: the whole map. Larger than the map: the map's size.
    multiple
        The shape is lowered to a multiple of this (2 ** levels in the reference's training); ``None``: left alone.
    centre
        ``anywhere``: uniformly placed, as in the reference; ``brain``: around the centre of mass of the target, tissue
        outside the brain not counted.
    jitter_voxels
        Largest shift per axis from the brain's centre.
    """

    shape: tuple[int, int, int] | None = (160, 160, 160)
    multiple: int | None = 32
    centre: str = "anywhere"
    jitter_voxels: int = 0

    def __post_init__(self) -> None:
        require("shape", self.shape, self.shape is None or min(self.shape) > 0, "positive sizes")
        require("multiple", self.multiple, self.multiple is None or self.multiple > 0, "a positive number")
        require("centre", self.centre, self.centre in CROP_CENTRES, " or ".join(CROP_CENTRES))
        require("jitter_voxels", self.jitter_voxels, self.jitter_voxels >= 0, "0 or more")


@dataclass(frozen=True)
class MixtureSpec:
    """Gaussian mixture of intensities.

    Parameters
    ----------
    means, stds
        Uniform ranges for every class where ``priors`` is ``None`` or fallen back from. The reference's documentation
        says 25..225 and 5..25; its code, and the recipes of the package, use other bounds.
    priors
        Per-class hyper-parameters, uniform or normal.
    mix_prior_and_random
        With probability a half each, replace the priors of means and of stds by the uniform ranges.
    random_background
        Vary the background class: 5 % exactly zero, 25 % dark, the rest as drawn.
    """

    means: tuple[float, float] = (0.0, 250.0)
    stds: tuple[float, float] = (0.0, 30.0)
    priors: IntensityPriors | None = None
    mix_prior_and_random: bool = False
    random_background: bool = True

    def __post_init__(self) -> None:
        require("means", self.means, 0 <= self.means[0] <= self.means[1], "0 <= low <= high")
        require("stds", self.stds, 0 <= self.stds[0] <= self.stds[1], "0 <= low <= high")


@dataclass(frozen=True)
class BiasFieldSpec:
    """Multiplicative bias field: the exponential of smoothly interpolated Gaussian noise.

    Parameters
    ----------
    max_std
        Largest standard deviation of the logarithm at the nodes.
    scale
        Nodes per voxel.
    probability
        How often there is one.
    centred_grid
        As in :class:`DeformationSpec`.
    """

    max_std: float = 0.7
    scale: float = 0.025
    probability: float = 0.95
    centred_grid: bool = False

    def __post_init__(self) -> None:
        require("max_std", self.max_std, self.max_std >= 0, "0 or more")
        require("scale", self.scale, 0 < self.scale <= 1, "above 0, at most 1")
        require("probability", self.probability, 0 <= self.probability <= 1, "between 0 and 1")


@dataclass(frozen=True)
class ContrastSpec:
    """Clipping, normalisation to 0..1 and gamma.

    Parameters
    ----------
    clip
        Largest intensity kept.
    gamma_std
        The exponent is the exponential of a normal number with this standard deviation.
    noise_std, noise_probability
        Largest standard deviation of extra noise before normalisation; used for real images, not by the generator.
    invert_probability
        How often dark and bright change places.
    """

    clip: float = 300.0
    gamma_std: float = 0.5
    noise_std: float = 0.0
    noise_probability: float = 0.95
    invert_probability: float = 0.0

    def __post_init__(self) -> None:
        require("clip", self.clip, self.clip > 0, "a positive number")
        require("gamma_std", self.gamma_std, self.gamma_std >= 0, "0 or more")
        require("noise_std", self.noise_std, self.noise_std >= 0, "0 or more")
        for name in ("noise_probability", "invert_probability"):
            require(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "between 0 and 1")


@dataclass(frozen=True)
class ResolutionSpec:
    """Simulated acquisition: blur, sampling at the acquired spacing, and interpolation back.

    Parameters
    ----------
    mode
        ``random``: spacing and thickness are drawn; ``fixed``: given per channel.
    native_probability, all_axes_probability
        How often nothing is degraded, and how often all three axes are, given that something is.
    max_all_axes_mm, max_one_axis_mm
        Largest spacing in the two cases.
    equal_axes
        One spacing for the three axes; the reference draws them independently although it calls that isotropic.
    spacing_mm, thickness_mm
        Per channel, for ``fixed``; thickness ``None``: equal to the spacing; spacing ``None``: that of the maps.
    blur_range
        Standard deviations of the blur are multiplied by a number between 1 / blur_range and blur_range.
    full_blur
        Windows of three standard deviations instead of the reference's fixed ones, which truncate (a nominal 6 voxels
        becomes 3.9).
    wide_window
        In ``fixed`` mode: windows for the largest standard deviation within ``blur_range``, as in partial-volume
        SynthSeg; otherwise for the nominal one.
    sample_again
        Take samples at the acquired spacing and interpolate back; ``False``: blur only.
    noise_std, noise_probability
        Largest standard deviation of noise at low resolution, and how often there is noise.
    """

    mode: str = "random"
    native_probability: float = 0.05
    all_axes_probability: float = 0.1
    max_all_axes_mm: float = 4.0
    max_one_axis_mm: float = 8.0
    equal_axes: bool = False
    spacing_mm: tuple[tuple[float, float, float], ...] | None = None
    thickness_mm: tuple[tuple[float, float, float], ...] | None = None
    blur_range: float = 1.03
    full_blur: bool = False
    wide_window: bool = False
    sample_again: bool = True
    noise_std: float = 0.0
    noise_probability: float = 0.95

    def __post_init__(self) -> None:
        require("mode", self.mode, self.mode in RESOLUTION_MODES, " or ".join(RESOLUTION_MODES))
        for name in ("native_probability", "all_axes_probability", "noise_probability"):
            require(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "between 0 and 1")
        for name in ("max_all_axes_mm", "max_one_axis_mm"):
            require(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        require("blur_range", self.blur_range, self.blur_range >= 1, "1 or more")
        require("noise_std", self.noise_std, self.noise_std >= 0, "0 or more")
        self._check_fixed()

    def _check_fixed(self) -> None:
        given = self.spacing_mm is not None or self.thickness_mm is not None
        require("spacing_mm", self.spacing_mm, not (given and self.mode == "random"), "no spacing in random mode")
        spacings, thicknesses = self.spacing_mm or (), self.thickness_mm or ()
        require("spacing_mm", self.spacing_mm, all(min(one) > 0 for one in spacings), "distances above 0")
        require("thickness_mm", self.thickness_mm, all(min(one) >= 0 for one in thicknesses), "0 or more")
        same = not thicknesses or len(thicknesses) == len(spacings)
        require("thickness_mm", self.thickness_mm, same, "as many as there are spacings")


@dataclass(frozen=True)
class BackgroundSpec:
    """What lies around the labels; other modes than ``keep`` need the order ``resolution_first``.

    Parameters
    ----------
    mode
        ``keep``: as any class. ``reset``: blurred with the rest, then set to zero in a part of the samples (a fifth in
        partial-volume SynthSeg). ``masked``: the foreground is blurred alone, which the blurred mask corrects, and a
        smooth Gaussian of its own surrounds it, zero in a part of the samples (a half).
    zero_probability
        How often the background is zero.
    max_mean, max_std
        Of the Gaussian.
    """

    mode: str = "keep"
    zero_probability: float = 0.0
    max_mean: float = 20.0
    max_std: float = 10.0

    def __post_init__(self) -> None:
        require("mode", self.mode, self.mode in BACKGROUNDS, " or ".join(BACKGROUNDS))
        require("zero_probability", self.zero_probability, 0 <= self.zero_probability <= 1, "between 0 and 1")
        require("max_mean", self.max_mean, self.max_mean >= 0, "0 or more")
        require("max_std", self.max_std, self.max_std >= 0, "0 or more")


@dataclass(frozen=True)
class GroupChannelsSpec:
    """Tissue groups as further channels after the image, as the last network of the robust chain is given them.

    Parameters
    ----------
    deformation_probability
        How often the groups are deformed a second time.
    deformation
        The second deformation.
    dilation_probability, erosion_probability
        How often a channel is dilated, and how often eroded.
    radius_voxels
        By how much.
    """

    deformation_probability: float = 0.9
    deformation: DeformationSpec = field(
        default_factory=lambda: DeformationSpec(
            rotation_deg=Range(-3, 3),
            shearing=Range(-0.007, 0.007),
            scaling=Range(0.95, 1.05),
            translation_voxels=Range(-2, 2),
            elastic_std_voxels=1.5,
        )
    )
    dilation_probability: float = 0.45
    erosion_probability: float = 0.45
    radius_voxels: float = 1.0

    def __post_init__(self) -> None:
        probability = self.deformation_probability
        require("deformation_probability", probability, 0 <= probability <= 1, "between 0 and 1")
        total = self.dilation_probability + self.erosion_probability
        least = min(self.dilation_probability, self.erosion_probability)
        require("dilation and erosion", total, least >= 0 and total <= 1, "probabilities that add up to 1 or less")
        require("radius_voxels", self.radius_voxels, self.radius_voxels >= 0, "0 or more")
        require("quarter_turns", "it in group_channels", not self.deformation.quarter_turns, "none in group_channels")


@dataclass(frozen=True)
class DropLabels:
    """Labels that become background in a part of the samples, as in skull-stripped training.

    Parameters
    ----------
    values
        Label values; empty: all extra-cerebral ones of the label list.
    probability
        How often.
    maps
        Part of the names of the maps concerned; empty: all.
    """

    values: tuple[int, ...] = ()
    probability: float = 0.3
    maps: str = ""

    def __post_init__(self) -> None:
        require("probability", self.probability, 0 <= self.probability <= 1, "between 0 and 1")


def require(name: str, value: object, valid: bool, expected: str) -> None:
    """Refuse a setting that cannot be honoured."""
    if not valid:
        raise UsageError(f"recipe: {name}", found=str(value), expected=expected, remedy="correct the recipe")


ORDERS = ("bias_first", "resolution_first")
SAMPLING_MAPS = ("none", "distance", "reliability")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what samples look like.

    Parameters
    ----------
    channels
        Independent contrasts of the same anatomy.
    flip_probability
        How often the head is mirrored left to right, with labels of the two sides exchanged.
    target_voxel_size_mm
        Voxel size of image and labels; ``None``: that of the maps.
    order
        ``bias_first``: bias, gamma, then resolution; ``resolution_first``: resolution, then bias and gamma.
    gradient
        Return the gradient magnitude of the image instead of the image.
    sampling_map
        A second channel to each image: ``distance`` to the nearest acquired sample in mm, or ``reliability``, 1 where
        voxels were acquired and 0 where they were interpolated; ``none`` in all published training.
    partial_view_probability
        How often part of the second channel is missing along one axis.
    class_column, output_column
        Columns of the label list with the Gaussian classes and the target values.
    map_step
        Every how many-th voxel of the maps is used, 1 for all; lengths in voxels are those of the maps that are left.
    map_weights
        Relative weights with which maps are drawn; ``None``: equal.
    group_channels
        Tissue groups (column ``output_groups`` of the label list) as channels after the image; ``None``: none.
    """

    channels: int = 1
    deformation: DeformationSpec = field(default_factory=DeformationSpec)
    crop: CropSpec = field(default_factory=CropSpec)
    flip_probability: float = 0.5
    mixture: MixtureSpec = field(default_factory=MixtureSpec)
    bias_field: BiasFieldSpec = field(default_factory=BiasFieldSpec)
    intensity: ContrastSpec = field(default_factory=ContrastSpec)
    resolution: ResolutionSpec = field(default_factory=ResolutionSpec)
    background: BackgroundSpec = field(default_factory=BackgroundSpec)
    drop_labels: tuple[DropLabels, ...] = ()
    target_voxel_size_mm: float | None = None
    order: str = "bias_first"
    gradient: bool = False
    sampling_map: str = "none"
    partial_view_probability: float = 0.0
    class_column: str = "class"
    output_column: str = "output"
    map_step: int = 1
    map_weights: tuple[float, ...] | None = None
    group_channels: GroupChannelsSpec | None = None

    def __post_init__(self) -> None:
        require("channels", self.channels, self.channels >= 1, "1 or more")
        require("flip_probability", self.flip_probability, 0 <= self.flip_probability <= 1, "between 0 and 1")
        require("map_step", self.map_step, self.map_step >= 1, "1 or more")
        size = self.target_voxel_size_mm
        require("target_voxel_size_mm", size, size is None or size > 0, "a length above 0")
        require("order", self.order, self.order in ORDERS, " or ".join(ORDERS))
        require("sampling_map", self.sampling_map, self.sampling_map in SAMPLING_MAPS, " or ".join(SAMPLING_MAPS))
        self._check_combinations()

    def _check_combinations(self) -> None:
        """Refuse settings that only work together, or not together."""
        spacing, background, part = self.resolution.spacing_mm, self.background.mode, self.partial_view_probability
        require("spacing_mm", spacing, spacing is None or len(spacing) == self.channels, "one triple per channel")
        known = background == "keep" or self.order == "resolution_first"
        require("background", background, known, "keep, or the order resolution_first")
        require("partial_view_probability", part, 0 <= part <= 1, "between 0 and 1")
        require("partial_view_probability", part, part == 0 or self.channels > 1, "0, or two channels or more")
        priors = self.mixture.priors
        fits = priors is None or not priors.block_per_channel or len(priors.means) == self.channels
        require("priors", f"{len(priors.means) if priors else 0} blocks", fits, "one block per channel")

    def to_content(self) -> dict[str, Any]:
        """Return nested entries; group channels, which came later, only where there are some."""
        content = {entry.name: to_content(getattr(self, entry.name)) for entry in fields(self)}
        if self.group_channels is None:
            del content["group_channels"]
        return content
