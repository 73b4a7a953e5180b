"""Recipes: every setting of the generator, grouped by step."""

from __future__ import annotations

from dataclasses import dataclass, field

from synthseg_core.synth.specs import (
    BackgroundSpec,
    BiasFieldSpec,
    CropSpec,
    DeformationSpec,
    DropLabels,
    IntensitySpec,
    MixtureSpec,
    ResolutionSpec,
    require,
)

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
    """

    channels: int = 1
    deformation: DeformationSpec = field(default_factory=DeformationSpec)
    crop: CropSpec = field(default_factory=CropSpec)
    flip_probability: float = 0.5
    mixture: MixtureSpec = field(default_factory=MixtureSpec)
    bias_field: BiasFieldSpec = field(default_factory=BiasFieldSpec)
    intensity: IntensitySpec = field(default_factory=IntensitySpec)
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

    def __post_init__(self) -> None:
        require("channels", self.channels, self.channels >= 1, "1 or more")
        require("flip_probability", self.flip_probability, 0 <= self.flip_probability <= 1, "between 0 and 1")
        require("map_step", self.map_step, self.map_step >= 1, "1 or more")
        size = self.target_voxel_size_mm
        require("target_voxel_size_mm", size, size is None or size > 0, "a length above 0")
        require("order", self.order, self.order in ORDERS, " or ".join(ORDERS))
        require("sampling_map", self.sampling_map, self.sampling_map in SAMPLING_MAPS, " or ".join(SAMPLING_MAPS))
        self._check_combinations()

    @staticmethod
    def preset(name: str) -> Recipe:
        """Return a preset by name; see :mod:`synthseg_core.synth.presets`."""
        from synthseg_core.synth.presets import preset

        return preset(name)

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
