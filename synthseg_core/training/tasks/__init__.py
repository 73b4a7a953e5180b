"""What networks can be trained for, as data; each task is a module that makes a training ready to start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from synthseg_core.errors import UsageError
from synthseg_core.networks.config import architecture_of

if TYPE_CHECKING:
    import torch

    from synthseg_core.system.progress import OnProgress
    from synthseg_core.training.experiment import Experiment
    from synthseg_core.training.prepare import Inputs, Prepared


@dataclass(frozen=True)
class Task:
    """What a network can be trained for.

    Parameters
    ----------
    prepare
        ``module:function`` in this package; takes experiment, inputs, device and progress, and returns what
        :class:`~synthseg_core.training.prepare.Prepared` holds.
    preset
        Training to start from where none is named; ``None``: one has to be.
    models
        Roles of the models that it builds on.
    """

    prepare: str
    preset: str | None = None
    models: tuple[str, ...] = ()


TASKS: Mapping[str, Task] = {
    "segmentation": Task("segmentation:prepare"),
    "tissue_groups": Task("segmentation:prepare_groups", "robust_s1"),
    "denoiser": Task("denoiser:prepare", "denoiser", ("group_segmenter",)),
    "robust": Task("robust:prepare", "robust_s2", ("group_segmenter", "denoiser")),
    "parcellation": Task("parcellation:prepare", "parcellation"),
    "quality": Task("quality:prepare", "quality", ("segmenter",)),
    "supervised": Task("supervised:prepare", "supervised"),
}


_OF_BASIC_UNET = ("segmentation", "supervised")

ROLES: Mapping[str, str] = {
    "group_segmenter": "model for tissue groups, the first of a robust chain",
    "denoiser": "model that corrects tissue groups, the second of a robust chain",
    "segmenter": "model whose segmentations are judged",
}
"""Models that tasks build on, by role, and what each is."""


def task_called(name: str) -> Task:
    """Return a task by name; ``UsageError`` if there is none."""
    if name not in TASKS:
        raise UsageError("task", found=repr(name), expected=" or ".join(TASKS), remedy="choose one")
    return TASKS[name]


def prepare(
    experiment: Experiment, inputs: Inputs, device: torch.device, progress: OnProgress | None = None
) -> Prepared:
    """Make the training of an experiment ready to start.

    Parameters
    ----------
    experiment
        Task, recipe, network, training, validation.
    inputs
        What it is given.
    device
        Where samples are made and the network is trained.
    progress
        Called with the number of files read and of all files.

    Raises
    ------
    SynthSegError
        In one line, what does not fit.
    """
    task = task_called(experiment.task)
    if inputs.images and experiment.task != "supervised":
        raise UsageError(
            "--images",
            found=f"it for the task {experiment.task}",
            expected="none",
            remedy="train with --task supervised",
        )
    if experiment.scans.table and experiment.task != "quality":
        raise UsageError(
            "--scans", found=f"it for the task {experiment.task}", expected="none", remedy="train with --task quality"
        )
    _require_models(experiment.task, task, inputs)
    _require_suited(experiment)
    module, _, function = task.prepare.partition(":")
    call: Callable[..., Prepared] = getattr(import_module(f"{__name__}.{module}"), function)
    return call(experiment, inputs, device, progress)


def _require_suited(experiment: Experiment) -> None:
    """Refuse a network that models of the task cannot hold, and a recipe where validation has scans of its own."""
    architecture, name = architecture_of(experiment.training.network), experiment.task
    if architecture == "basic_unet" and name not in _OF_BASIC_UNET:
        raise UsageError(
            "training: network, architecture",
            found=f"{architecture} for the task {name}",
            expected=f"it for {' or '.join(_OF_BASIC_UNET)} alone",
            remedy="choose another preset or network",
        )
    if experiment.validation.recipe is not None and name in ("supervised", "quality"):
        raise UsageError("validation: recipe", found=f"one for the task {name}", expected="none", remedy="leave it out")


def _require_models(name: str, task: Task, inputs: Inputs) -> None:
    for role in task.models:
        if role not in inputs.models:
            flag = role.replace("_", "-")
            raise UsageError(f"--{flag}", found="none", expected=f"a model, for the task {name}", remedy="give one")
    if others := [role for role in inputs.models if role not in task.models]:
        flag = others[0].replace("_", "-")
        raise UsageError(f"--{flag}", found=f"it for the task {name}", expected="none", remedy="leave it out")
