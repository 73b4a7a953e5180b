"""Label maps as a recipe wants them: which columns of the label list, which voxels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.maps import LabelMaps, Progress, Unknown, read_label_maps
from synthseg_core.synth.recipe import Recipe


def read_maps(
    source: Path | str | Sequence[Path | str],
    recipe: Recipe,
    labels: str | Path = "generation_54",
    *,
    unknown: Unknown = "refuse",
    progress: Progress | None = None,
) -> LabelMaps:
    """Read label maps for a recipe; see :func:`synthseg_core.synth.maps.read_label_maps`.

    Parameters
    ----------
    labels
        File of a label list, or name of one of the package's.
    """
    listed = read_labels(labels, recipe)
    return read_label_maps(source, listed, unknown=unknown, step=recipe.map_step, progress=progress)


def read_labels(labels: str | Path, recipe: Recipe) -> GenerationLabels:
    """Read a label list with the recipe's columns; what has no extension is the name of one of the package's."""
    columns = (recipe.class_column, recipe.output_column)
    return (
        GenerationLabels.read(Path(labels), *columns)
        if Path(labels).suffix
        else GenerationLabels.builtin(str(labels), *columns)
    )
