"""Small trainings on phantom heads of 4 mm, and the models of their first weights."""

from __future__ import annotations

from pathlib import Path

import torch

from synthseg_core.cli.demo.heads import write_heads
from synthseg_core.synth.maps import read_labels
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.export import export_model, trained_card
from synthseg_core.training.prepare import Inputs, MapsSource, Prepared
from synthseg_core.training.state import new_state
from synthseg_core.training.tasks import prepare

CPU = torch.device("cpu")
SETTINGS = {
    "recipe": {"crop": {"shape": [24, 32, 24], "jitter_voxels": 2}, "map_step": 1},
    "training": {"device": "cpu", "network": {"features": 2, "levels": 3}},
    "validation": {"draws": 1},
}


def experiment(preset: str, **changes) -> Experiment:
    return Experiment.preset(preset).changed(SETTINGS).changed(changes)


def inputs(folder: Path, wanted: Experiment, labels: str = "generation_54", **models: Path) -> Inputs:
    """Two heads, and a list read as the recipe asks for."""
    maps = folder / "maps"
    if not maps.is_dir():
        write_heads(maps, 2, voxel_size_mm=4.0)
    named = {role: str(path) for role, path in models.items()}
    return Inputs(MapsSource([maps], read_labels(labels, wanted.recipe)), named)


def prepared(folder: Path, wanted: Experiment, **models: Path) -> Prepared:
    return prepare(wanted, inputs(folder, wanted, **models), CPU)


def first_model(found: Prepared, folder: Path) -> Path:
    """Export the weights that a training begins with; returns the card."""
    card = trained_card(folder, folder.name, found.model, found.config.network)
    return export_model(card, new_state(found.config, CPU).net.state_dict(), earlier=found.model.earlier, half=False)


def groups_model(folder: Path) -> Path:
    """A first network of a chain."""
    return first_model(prepared(folder, experiment("tiny", task="tissue_groups")), folder / "groups")


def denoiser_model(folder: Path, groups: Path) -> Path:
    """A second network of a chain."""
    small = experiment("tiny_denoiser")
    return first_model(prepared(folder, small, group_segmenter=groups), folder / "denoiser")
