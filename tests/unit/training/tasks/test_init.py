"""Tasks by name, and the models that they build on."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch

from synthseg_core.errors import UsageError
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.training.experiment import Experiment, preset_names
from synthseg_core.training.prepare import Inputs, MapsSource
from synthseg_core.training.tasks import ROLES, TASKS, prepare, task_called


@pytest.mark.parametrize("name", TASKS)
def test_every_task_can_be_prepared_from_its_preset(name):
    module, _, function = TASKS[name].prepare.partition(":")
    assert callable(getattr(import_module(f"synthseg_core.training.tasks.{module}"), function))
    assert set(TASKS[name].models) <= set(ROLES)
    if TASKS[name].preset is not None:
        assert Experiment.preset(TASKS[name].preset).task == name


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_a_task(name):
    assert Experiment.preset(name).task in TASKS


def test_unknown_tasks_are_named():
    with pytest.raises(UsageError, match="task: found 'segmenting'; expected segmentation or tissue_groups"):
        task_called("segmenting")


def test_models_that_a_task_does_not_build_on_are_refused(tmp_path):
    inputs = Inputs(MapsSource([tmp_path], GenerationLabels.builtin()), {"denoiser": "some"})
    with pytest.raises(UsageError, match="--denoiser: found it for the task segmentation; expected none"):
        prepare(Experiment.preset("tiny"), inputs, torch.device("cpu"))
