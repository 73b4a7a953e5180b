"""What must fit together before a sample is made: recipe, label list, label maps, draw."""

from __future__ import annotations

from synthseg_core.errors import UsageError
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.draw import Draw
from synthseg_core.synth.intensities import check_priors
from synthseg_core.synth.recipe import Recipe
from synthseg_core.synth.shapes import SampleShape


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
