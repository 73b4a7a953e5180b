"""A small segmentation model at 4 mm, with groups for quality scores, and what a training for it is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from synthseg_core.cli.demo.heads import write_heads
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.maps import read_labels
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.prepare import Inputs, MapsSource
from synthseg_core.training.tasks import prepare
from tests.unit.training.tasks.small import CPU, experiment, first_model

VOXEL_SIZE_MM = 4.0


def quality_experiment(**changes) -> Experiment:
    """The preset for tests, on heads of 4 mm and their tissue groups."""
    recipe = {"output_column": "output_groups", "crop": {"shape": [32, 40, 32]}}
    training = {"device": "cpu", "network": {"features": 2, "levels": 2, "pooling": 2}}
    small = {"recipe": recipe, "training": training, "pairs": {"kept": 2}, "validation": {"draws": 2}}
    return Experiment.preset("tiny_quality").changed(small).changed(changes)


def labels_of(wanted: Experiment) -> GenerationLabels:
    """The package's list, whose tissue groups are the groups of the scores as well."""
    labels = read_labels("generation_54", wanted.recipe)
    return replace(labels, qc_groups=labels.groups)


def segmenter_card(folder: Path) -> Path:
    """A model of random weights."""
    small = experiment("tiny")
    return first_model(prepare(small, _inputs(folder, small), CPU), folder / "segmenter")


def quality_inputs(folder: Path, wanted: Experiment, segmenter: Path, **more) -> Inputs:
    """Two heads, the model that is judged, and where pairs are kept."""
    return replace(_inputs(folder, wanted), models={"segmenter": str(segmenter)}, folder=folder / "run", **more)


def _inputs(folder: Path, wanted: Experiment) -> Inputs:
    maps = folder / "maps"
    if not maps.is_dir():
        write_heads(maps, 2, VOXEL_SIZE_MM)
    return Inputs(MapsSource([maps], labels_of(wanted)))
