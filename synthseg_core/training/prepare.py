"""From label maps and settings to everything that a training is called with, checked before it starts.

The label table of a network that is trained on a label list: one channel per target value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from synthseg_core.errors import GeometryError, InputError, UsageError
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.labels.table import LabelTable
from synthseg_core.synth.cornucopia import BACKENDS, CornucopiaGenerator, Generator, generator_of, require_cornucopia
from synthseg_core.synth.maps import LabelMaps, Unknown, read_label_maps
from synthseg_core.synth.randomness import sample_seed
from synthseg_core.synth.recipe import Recipe
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.settings import to_content
from synthseg_core.training.config import TrainConfig
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.samples import require_fit
from synthseg_core.training.validation import DrawValidation, Validate

_PUBLISHED = ("segmentation_2.0", "segmentation_1.0")


def target_table(labels: GenerationLabels) -> LabelTable:
    """Return the table of the package with these target values, which knows more; otherwise one made from the list.

    Raises
    ------
    InputError
        If labels that share a target have counterparts that do not.
    """
    for name in _PUBLISHED:
        if LabelTable.builtin(name).labels == labels.target_values:
            return LabelTable.builtin(name)
    counterparts = tuple(_counterpart(labels, value) for value in labels.target_values)
    return LabelTable(
        name=labels.source,
        labels=labels.target_values,
        names=tuple(_name(labels, value) for value in labels.target_values),
        sides=tuple(_side(labels, *pair) for pair in zip(labels.target_values, counterparts, strict=True)),
        counterparts=counterparts,
    )


def _sources(labels: GenerationLabels, value: int) -> list[int]:
    """Return the positions of the labels that become a target value."""
    return [position for position, output in enumerate(labels.outputs) if output == value]


def _counterpart(labels: GenerationLabels, value: int) -> int:
    """Return the target value of the other side; background and unsided values are their own."""
    if value == 0:
        return 0
    others = {labels.outputs[labels.swap_index[position]] for position in _sources(labels, value)}
    if len(others) > 1:
        raise InputError(
            labels.source,
            found=f"target {value}, whose counterparts become {' and '.join(map(str, sorted(others)))}",
            expected="one counterpart",
            remedy="give labels that share a target counterparts that share one too",
        )
    return others.pop()


def _side(labels: GenerationLabels, value: int, counterpart: int) -> str:
    if value == counterpart:
        return "neutral"
    first_right = labels.n_neutral + (len(labels) - labels.n_neutral) // 2
    return "right" if _sources(labels, value)[0] >= first_right else "left"


def _name(labels: GenerationLabels, value: int) -> str:
    """Return the name of the label that keeps its value, or else of the first one that becomes it."""
    if value == 0:
        return "background"
    sources = _sources(labels, value)
    own = [position for position in sources if labels.values[position] == value]
    if not labels.names:
        return f"label {value}"
    return labels.names[own[0]] if own else f"{labels.names[sources[0]]} and others"


_SIZE_TOLERANCE_MM = 1e-3


@dataclass(frozen=True)
class MapsSource:
    """Where label maps come from.

    Parameters
    ----------
    maps, held_out
        Folders or files for training and for validation; no ``held_out``: other draws of the same maps.
    labels
        Their label list, with the columns that the recipe asks for.
    unknown
        What to do about values that the list lacks.
    """

    maps: Sequence[Path]
    labels: GenerationLabels
    held_out: Sequence[Path] = ()
    unknown: Unknown = "refuse"


@dataclass(frozen=True)
class Prepared:
    """A training that is ready to start.

    Parameters
    ----------
    config
        With the channels and classes that recipe and labels ask for.
    data
        What the samples are made of, for the record and for resumes.
    table
        What the network's output channels mean.
    voxel_size_mm
        Of the samples.
    """

    config: TrainConfig
    source: Generator
    validate: Validate | None
    data: dict[str, Any]
    table: LabelTable
    voxel_size_mm: float


def prepare(
    experiment: Experiment,
    given: MapsSource,
    device: torch.device,
    progress: OnProgress | None = None,
    *,
    backend: str = BACKENDS[0],
) -> Prepared:
    """Read and check label maps, recipe and network, and make one sample to see that they fit together.

    Parameters
    ----------
    experiment
        Recipe, network, training, validation.
    given
        Label maps and their list.
    device
        Where samples are made and the network is trained.
    progress
        Called with the number of maps read and of all maps.
    backend
        What makes samples, one of ``BACKENDS``.

    Raises
    ------
    SynthSegError
        In one line, what does not fit.
    """
    if backend == "cornucopia":
        require_cornucopia()
    if experiment.recipe.group_channels is not None:
        raise UsageError(
            "recipe: group_channels",
            found="them in a training",
            expected="none: only the last network of a robust chain is given them, and chains are not assembled yet",
            remedy="leave them out, or make such samples with synthseg generate",
        )
    experiment = replace(experiment, recipe=divisible(experiment.recipe, experiment.training.network.levels))
    table = target_table(given.labels)
    maps = _read(given.maps, given, experiment.recipe, progress)
    voxel_size_mm = sample_voxel_size_mm(maps, experiment.recipe)
    held_out = _read(given.held_out, given, experiment.recipe, progress) if given.held_out else maps
    source = generator_of(backend, maps.to(device), experiment.recipe)
    images, class_index = source.batch([sample_seed(experiment.training.seed, 0)])
    network = replace(experiment.training.network, in_channels=images.shape[1], out_channels=len(table))
    config = replace(experiment.training, network=network)
    require_fit(images, class_index, config, device)
    validate = _validation(experiment, backend, held_out.to(device), config.precision)
    return Prepared(config, source, validate, _record(source, given), table, voxel_size_mm)


def sample_voxel_size_mm(maps: LabelMaps, recipe: Recipe) -> float:
    """Return the edge length of samples; ``GeometryError`` if edges differ: networks work on isotropic grids."""
    if recipe.target_voxel_size_mm is not None:
        return recipe.target_voxel_size_mm
    edges = maps.voxel_size
    if max(edges) - min(edges) > _SIZE_TOLERANCE_MM:
        raise GeometryError(
            "label maps",
            found=f"voxels of {' x '.join(f'{edge:g}' for edge in edges)} mm",
            expected="edges of equal length, which networks work with",
            remedy="resample the maps (nearest neighbours), or set recipe: target_voxel_size_mm",
        )
    return round(sum(edges) / 3, 4)


def divisible(recipe: Recipe, levels: int) -> Recipe:
    """Return the recipe with crops that a network of so many levels can halve often enough."""
    multiple = math.lcm(recipe.crop.multiple or 1, 2 ** (levels - 1))
    return replace(recipe, crop=replace(recipe.crop, multiple=multiple))


def validation_recipe(recipe: Recipe, *, whole: bool) -> Recipe:
    """Return the recipe without what makes draws needlessly unequal: removed labels and shifted crops."""
    crop = replace(recipe.crop, jitter_voxels=0)
    return replace(recipe, drop_labels=(), map_weights=None, crop=replace(crop, shape=None) if whole else crop)


def _read(paths: Sequence[Path], given: MapsSource, recipe: Recipe, progress: OnProgress | None) -> LabelMaps:
    source = paths[0] if len(paths) == 1 else paths
    return read_label_maps(source, given.labels, unknown=given.unknown, step=recipe.map_step, progress=progress)


def _validation(experiment: Experiment, backend: str, maps: LabelMaps, precision: str) -> Validate | None:
    settings = experiment.validation
    if not settings.draws:
        return None
    source = generator_of(backend, maps, validation_recipe(experiment.recipe, whole=settings.whole))
    seeds = range(settings.seed, settings.seed + settings.draws)
    window = experiment.recipe.crop.shape if settings.whole else None
    return DrawValidation(source, seeds, precision=precision, window=window)


def _record(source: Generator, given: MapsSource) -> dict[str, Any]:
    """Return what samples are made of; another backend than the default is named with its parameters."""
    labels = given.labels
    other = isinstance(source, CornucopiaGenerator)
    backend = {"backend": {"library": source.library, **to_content(source.parameters)}} if other else {}
    lists = {"values": labels.values, "classes": labels.classes, "outputs": labels.outputs}
    return {
        "recipe": to_content(source.recipe),
        "maps": list(source.maps.names),
        "labels": {name: list(values) for name, values in lists.items()},
        **backend,
    }
