"""Structures and tissue groups from label maps: what is refused before anything is read."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthseg_core.cli.demo.heads import write_heads
from synthseg_core.errors import InputError, UsageError
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.maps import read_labels
from synthseg_core.synth.recipe import GroupChannelsSpec
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.prepare import Inputs, MapsSource
from synthseg_core.training.tasks import prepare
from synthseg_core.training.tasks.segmentation import groups_table

CPU = torch.device("cpu")


def _inputs(folder, labels=None) -> Inputs:
    return Inputs(MapsSource([folder], labels or GenerationLabels.builtin()))


def test_group_channels_are_refused_before_anything_is_read(tmp_path):
    tiny = Experiment.preset("tiny")
    experiment = replace(tiny, recipe=replace(tiny.recipe, group_channels=GroupChannelsSpec()))
    with pytest.raises(UsageError, match="recipe: group_channels: found them in the task segmentation"):
        prepare(experiment, _inputs(tmp_path / "absent"), CPU)


def test_tissue_groups_have_their_table(tmp_path):
    experiment = Experiment.preset("tiny").changed({"task": "tissue_groups", "validation": {"draws": 0}})
    labels = read_labels("generation_54", experiment.recipe)
    write_heads(tmp_path, 1, voxel_size_mm=2.0)
    experiment = experiment.changed({"recipe": {"map_step": 1}})
    prepared = prepare(experiment, _inputs(tmp_path, labels), CPU)
    assert prepared.model.table.names[4] == "cerebellum"
    assert prepared.config.network.out_channels == 5
    assert prepared.measure == "Dice"


def test_tissue_groups_are_the_target_of_their_task(tmp_path):
    experiment = Experiment.preset("official").changed({"task": "tissue_groups"})
    with pytest.raises(UsageError, match="found output for the task tissue_groups; expected output_groups"):
        prepare(experiment, _inputs(tmp_path / "absent"), CPU)


def test_lists_without_groups_are_refused():
    labels = replace(GenerationLabels.builtin(), groups=())
    with pytest.raises(InputError, match="found a label list without tissue groups; expected the column output_groups"):
        groups_table(labels)


def test_groups_of_ones_own_have_numbers_for_names():
    labels = GenerationLabels.builtin()
    two = replace(labels, groups=tuple(min(group, 1) for group in labels.groups))
    assert groups_table(two).names == ("background", "group 1")
