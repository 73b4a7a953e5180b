"""What the tasks share on the way from label maps and settings to a training that is ready to start, checked before."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from synthseg_core.errors import GeometryError
from synthseg_core.images.affines import Shape3, triple
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import ScoutSpec
from synthseg_core.networks.config import BasicUNetConfig, NetworkConfig, UNetConfig
from synthseg_core.synth.cornucopia import (
    BACKENDS,
    MONAI_VALIDATION,
    CornucopiaGenerator,
    Generator,
    generator_of,
    require_cornucopia,
)
from synthseg_core.synth.generator import BrainGenerator
from synthseg_core.synth.maps import LabelMaps, Unknown, read_label_maps
from synthseg_core.synth.randomness import sample_seed
from synthseg_core.synth.recipe import Recipe
from synthseg_core.synth.recipe_file import read_recipe
from synthseg_core.synth.shapes import SampleShape
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.settings import to_content
from synthseg_core.training.config import TrainConfig
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.export import ModelPlan
from synthseg_core.training.run import Picture
from synthseg_core.training.samples import Source, require_fit
from synthseg_core.training.snapshot import class_picture
from synthseg_core.training.targets import brain_targets
from synthseg_core.training.validation import DrawValidation, Validate

_SIZE_TOLERANCE_MM = 1e-3
# What another recipe for validation decides: how scans look, not their grid and labels.
_LOOKS = ("deformation", "flip_probability", "mixture", "bias_field", "intensity", "resolution", "background", "order")


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
class Inputs:
    """What a training is given beside its settings.

    Parameters
    ----------
    maps
        Label maps.
    models
        Names or cards of the models that the task builds on, by role, for instance ``group_segmenter``.
    images, held_out_images
        Real scans that the maps belong to, folders or files, for supervised trainings.
    backend
        What makes synthetic scans, one of :data:`~synthseg_core.synth.cornucopia.BACKENDS`.
    folder
        Of the training, for what a task makes once and uses again; ``None``: nothing is kept.
    """

    maps: MapsSource
    models: Mapping[str, str] = field(default_factory=dict)
    images: Sequence[Path] = ()
    held_out_images: Sequence[Path] = ()
    backend: str = BACKENDS[0]
    folder: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """A training that is ready to start: what a task says of itself.

    Parameters
    ----------
    config
        With the channels and classes that the samples have.
    source
        Of samples.
    validate
        Scores a network; ``None``: no validation.
    data
        What the samples are made of, for the record and for resumes.
    model
        What the trained network becomes.
    sample_shape
        Voxels of a sample.
    labels_name
        Of the label list, for the card.
    picture
        Draws a sample with the network's answer.
    measure
        What validations measure, larger being better.
    """

    config: TrainConfig
    source: Source
    validate: Validate | None
    data: dict[str, Any]
    model: ModelPlan
    sample_shape: Shape3
    labels_name: str
    picture: Picture = class_picture
    measure: str = "Dice"

    @property
    def ahead(self) -> bool | None:
        """Whether samples are made ahead, as for ``RunOptions``: ours in a thread of a CPU with more than one, too."""
        return True if isinstance(self.source, BrainGenerator) and torch.get_num_threads() > 1 else None


SourceOf = Callable[[Generator, float], Source]
"""Takes what makes synthetic scans, and the edge of their voxels, mm; returns what makes samples of them."""


def prepared_from_maps(
    experiment: Experiment,
    inputs: Inputs,
    table: LabelTable,
    device: torch.device,
    progress: OnProgress | None = None,
    source_of: SourceOf | None = None,
) -> Prepared:
    """Read and check label maps, recipe and network, and make one sample to see that they fit together.

    Parameters
    ----------
    experiment
        Recipe, network, training, validation.
    inputs
        Label maps and their list, and what makes samples.
    table
        What the network's output channels shall mean.
    device
        Where samples are made and the network is trained.
    progress
        Called with the number of maps read and of all maps.
    source_of
        Makes samples of synthetic scans; ``None``: they are the samples.

    Raises
    ------
    SynthSegError
        In one line, what does not fit.
    """
    given = inputs.maps
    if inputs.backend == "cornucopia":
        require_cornucopia()
    experiment = replace(experiment, recipe=divisible(experiment.recipe, experiment.training.network.halvings))
    maps = read_maps_of(given.maps, given, experiment.recipe, progress)
    voxel_size_mm = sample_voxel_size_mm(maps, experiment.recipe)
    held_out = read_maps_of(given.held_out, given, experiment.recipe, progress) if given.held_out else maps
    scans = generator_of(inputs.backend, maps.to(device), experiment.recipe)
    source = scans if source_of is None else source_of(scans, voxel_size_mm)
    images, class_index = source.batch([sample_seed(experiment.training.seed, 0)])
    network = replace(experiment.training.network, in_channels=images.shape[1], out_channels=len(table))
    config = replace(experiment.training, network=network)
    require_fit(images, class_index, config, device)
    return Prepared(
        config=config,
        source=source,
        validate=_validation(experiment, inputs.backend, held_out.to(device), config.precision, source_of),
        data=made_of(scans, given),
        model=replace(
            _model_plan(table, voxel_size_mm, experiment, config.network, scans.shape),
            total_of=brain_targets(given.labels),
        ),
        sample_shape=scans.shape.output,
        labels_name=Path(given.labels.source).stem,
    )


def window_of(network: NetworkConfig, shape: SampleShape) -> Shape3 | None:
    """Return the windows that a network predicts in: its patches, where it has seen parts of maps and can do so."""
    patches = isinstance(network, BasicUNetConfig) and shape.crop != shape.map
    return shape.output if patches else None


def _model_plan(
    table: LabelTable, voxel_size_mm: float, experiment: Experiment, network: NetworkConfig, shape: SampleShape
) -> ModelPlan:
    """Return what the network becomes: with a scout, the samples' field of view and a margin: those cut brains.

    Without a scout, and with norms over the sample, air is added up to the smallest edge of one: such norms expect it.
    """
    margin = ScoutSpec.margin_mm
    margins = (margin, margin, 2 * margin)  # a long neck moves the field of view along the body
    fields = triple(n * voxel_size_mm + 2 * beyond for n, beyond in zip(shape.output, margins, strict=True))
    scout = None if experiment.scout is None else ScoutSpec(experiment.scout, fields)
    of_samples = isinstance(network, UNetConfig) and network.norm == "group"
    least = min(shape.output) if of_samples else 1
    return ModelPlan(table, voxel_size_mm, window_voxels=window_of(network, shape), scout=scout, minimum_voxels=least)


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


def divisible(recipe: Recipe, halvings: int) -> Recipe:
    """Return the recipe with crops that a network can halve so often."""
    multiple = math.lcm(recipe.crop.multiple or 1, 2**halvings)
    return replace(recipe, crop=replace(recipe.crop, multiple=multiple))


def validation_recipe(recipe: Recipe, *, whole: bool) -> Recipe:
    """Return the recipe without what makes draws needlessly unequal: removed labels and shifted crops."""
    crop = replace(recipe.crop, jitter_voxels=0)
    return replace(recipe, drop_labels=(), map_weights=None, crop=replace(crop, shape=None) if whole else crop)


def read_maps_of(
    paths: Sequence[Path], given: MapsSource, recipe: Recipe, progress: OnProgress | None = None
) -> LabelMaps:
    """Return the label maps of some folders or files, as the recipe wants them.

    Parameters
    ----------
    paths
        Those of ``given.maps`` or ``given.held_out``.
    given
        Says how they are read.
    recipe
        Of the samples that are made from them.
    progress
        Called with the number of maps read and of all maps.
    """
    source = paths[0] if len(paths) == 1 else paths
    return read_label_maps(source, given.labels, unknown=given.unknown, step=recipe.map_step, progress=progress)


def _validation(
    experiment: Experiment, backend: str, maps: LabelMaps, precision: str, source_of: SourceOf | None
) -> Validate | None:
    settings = experiment.validation
    if not settings.draws:
        return None
    recipe = validation_recipe(_validated_recipe(experiment), whole=settings.whole)
    scans = generator_of(backend, maps, recipe, MONAI_VALIDATION if settings.recipe else None)
    source = scans if source_of is None else source_of(scans, sample_voxel_size_mm(maps, experiment.recipe))
    seeds = range(settings.seed, settings.seed + settings.draws)
    window = experiment.recipe.crop.shape if settings.whole else None
    return DrawValidation(source, seeds, precision=precision, window=window)


def _validated_recipe(experiment: Experiment) -> Recipe:
    """Return the recipe of training, what scans look like replaced by that of the validation's own one."""
    own = experiment.validation.recipe
    if own is None:
        return experiment.recipe
    other = read_recipe(own)
    return replace(experiment.recipe, **{name: getattr(other, name) for name in _LOOKS})


def made_of(source: Generator, given: MapsSource) -> dict[str, Any]:
    """Return what samples are made of, as JSON; another backend than the default is named with its parameters."""
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
