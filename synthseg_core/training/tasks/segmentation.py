"""Tasks ``segmentation`` and ``tissue_groups``: structures of a label list, or its groups, from synthetic scans."""

from __future__ import annotations

import torch

from synthseg_core.errors import InputError, UsageError
from synthseg_core.labels.lists import GROUPS_COLUMN, GenerationLabels
from synthseg_core.labels.table import LabelTable
from synthseg_core.system.progress import OnProgress
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.prepare import Inputs, Prepared, prepared_from_maps
from synthseg_core.training.targets import target_table

GROUPS_TABLE = "tissue_groups"
"""Label table of the package with the five groups of the robust chain."""


def prepare(
    experiment: Experiment, inputs: Inputs, device: torch.device, progress: OnProgress | None = None
) -> Prepared:
    """Make a training for the structures of the label list ready; see :func:`synthseg_core.training.tasks.prepare`."""
    if experiment.recipe.group_channels is not None:
        raise UsageError(
            "recipe: group_channels",
            found="them in the task segmentation",
            expected="none: only the last network of a robust chain is given them",
            remedy="train with --task robust, or leave them out",
        )
    return prepared_from_maps(experiment, inputs, target_table(inputs.maps.labels), device, progress)


def prepare_groups(
    experiment: Experiment, inputs: Inputs, device: torch.device, progress: OnProgress | None = None
) -> Prepared:
    """Make a training for tissue groups ready: the first network of the robust chain.

    Raises
    ------
    SynthSegError
        If the label list has no groups, or the recipe asks for other targets.
    """
    table = groups_table(inputs.maps.labels)
    if inputs.maps.labels.outputs != inputs.maps.labels.groups:
        raise UsageError(
            "recipe: output_column",
            found=f"{experiment.recipe.output_column} for the task tissue_groups",
            expected=GROUPS_COLUMN,
            remedy=f"set it to {GROUPS_COLUMN}, as the preset robust_s1 does",
        )
    return prepared_from_maps(experiment, inputs, table, device, progress)


def groups_table(labels: GenerationLabels) -> LabelTable:
    """Return what the tissue groups of a label list mean: the package's five groups, or others by their numbers.

    Raises
    ------
    InputError
        If the list has none.
    """
    if not labels.groups:
        raise InputError(
            labels.source,
            found="a label list without tissue groups",
            expected=f"the column {GROUPS_COLUMN}",
            remedy="add it",
        )
    numbers = tuple(range(labels.n_groups))
    published = LabelTable.builtin(GROUPS_TABLE)
    if published.labels == numbers:
        return published
    return LabelTable(
        name=labels.source,
        labels=numbers,
        names=("background", *(f"group {number}" for number in numbers[1:])),
        sides=("neutral",) * len(numbers),
        counterparts=numbers,
    )
