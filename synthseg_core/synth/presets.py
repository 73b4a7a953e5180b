"""The named recipes."""

from __future__ import annotations

from collections.abc import Callable

from synthseg_core.errors import UsageError
from synthseg_core.synth.priors import IntensityPriors
from synthseg_core.synth.randomness import Range
from synthseg_core.synth.recipe import (
    BackgroundSpec,
    BiasFieldSpec,
    CropSpec,
    DeformationSpec,
    DropLabels,
    MixtureSpec,
    Recipe,
    ResolutionSpec,
)


def official() -> Recipe:
    """Return the recipe that SynthSeg was trained with: any contrast, any resolution."""
    return Recipe()


def advanced() -> Recipe:
    """Return the contrast- and resolution-specific example: T1-weighted, 1 x 1 x 3 mm."""
    return Recipe(
        crop=CropSpec(multiple=None),
        mixture=MixtureSpec(priors=IntensityPriors.builtin("t1_priors")),
        resolution=ResolutionSpec(mode="fixed", spacing_mm=((1.0, 1.0, 3.0),), thickness_mm=((1.0, 1.0, 3.0),)),
        class_column="class_t1",
    )


def robust_s1() -> Recipe:
    """Return the recipe of the first network of the robust chain: five tissue groups."""
    return Recipe(
        mixture=MixtureSpec(means=(0.0, 255.0), stds=(0.0, 50.0)),
        target_voxel_size_mm=1.0,
        output_column="output_groups",
    )


def robust_s2() -> Recipe:
    """Return the recipe of the last network of the robust chain: the structures."""
    return Recipe(mixture=MixtureSpec(means=(0.0, 255.0), stds=(0.0, 50.0)), target_voxel_size_mm=1.0)


def pv() -> Recipe:
    """Return partial-volume SynthSeg (Billot et al., MICCAI 2020): known spacing and thickness, resolution first."""
    return Recipe(
        deformation=DeformationSpec(
            scaling=Range.around(1, 0.15),
            shearing=Range.around(0, 0.01),
            elastic_std_voxels=3.0,
            affine_order="rotate_shear_scale",
        ),
        mixture=MixtureSpec(means=(25.0, 225.0), stds=(5.0, 25.0)),
        bias_field=BiasFieldSpec(max_std=0.3),
        resolution=ResolutionSpec(
            mode="fixed",
            spacing_mm=((6.0, 1.0, 1.0),),
            thickness_mm=((4.0, 1.0, 1.0),),
            blur_range=1.5,
            wide_window=True,
        ),
        background=BackgroundSpec(mode="masked", zero_probability=0.5),
        order="resolution_first",
    )


def tiny() -> Recipe:
    """Return small crops for tests and first steps; meant for maps reduced to 2 mm, with five tissue groups."""
    return Recipe(
        deformation=_halved_deformation(),
        crop=CropSpec(shape=(48, 48, 48), multiple=4, centre="brain", jitter_voxels=8),
        bias_field=BiasFieldSpec(scale=0.05),
        output_column="output_groups",
        map_step=2,
    )


def default_2mm() -> Recipe:
    """Return the recipe of the package's default weights: maps reduced to 2 mm, crops that hold the brain.

    Lengths in voxels are half of the official ones. Heads lose everything outside the brain in a part of the samples,
    so that skull-stripped scans are understood too.
    """
    return Recipe(
        deformation=_halved_deformation(),
        crop=CropSpec(shape=(72, 88, 72), multiple=8, centre="brain", jitter_voxels=8),
        bias_field=BiasFieldSpec(scale=0.05),
        drop_labels=(DropLabels(probability=0.3),),
        map_step=2,
    )


def default_1mm() -> Recipe:
    """Return the recipe for default weights at 1 mm: the official one, in crops around the brain.

    Crops that shift far show neck and air, too; heads lose everything outside the brain in a part of the samples.
    """
    return Recipe(
        crop=CropSpec(shape=(128, 128, 128), multiple=16, centre="brain", jitter_voxels=40),
        drop_labels=(DropLabels(probability=0.3),),
    )


def _halved_deformation() -> DeformationSpec:
    """Return the official deformation in voxels of 2 mm."""
    return DeformationSpec(elastic_std_voxels=2.0, elastic_scale=0.08)


PRESETS: dict[str, Callable[[], Recipe]] = {
    "official": official,
    "advanced": advanced,
    "robust_s1": robust_s1,
    "robust_s2": robust_s2,
    "pv": pv,
    "tiny": tiny,
    "default_2mm": default_2mm,
    "default_1mm": default_1mm,
}


def preset(name: str) -> Recipe:
    """Return a preset by name.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in PRESETS:
        raise UsageError(
            "recipe", found=f"preset {name!r}", expected=f"one of {', '.join(PRESETS)}", remedy="choose a preset"
        )
    return PRESETS[name]()
