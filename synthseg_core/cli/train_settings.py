"""What flags and the settings file of ``synthseg train`` mean: an experiment, and its label maps."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthseg_core.errors import UsageError
from synthseg_core.images.pairs import listed_pairs
from synthseg_core.synth.cornucopia import BACKENDS
from synthseg_core.synth.maps import read_labels
from synthseg_core.system.settings import read_mapping
from synthseg_core.training.budget import parse_duration
from synthseg_core.training.checkpoint import LAST
from synthseg_core.training.config import one_of
from synthseg_core.training.experiment import Experiment, preset_names
from synthseg_core.training.prepare import Inputs, MapsSource
from synthseg_core.training.results import stored_config
from synthseg_core.training.start import steps_behind
from synthseg_core.training.tasks import ROLES, task_called

# Entries of a settings file that are no settings of the experiment.
_FACTS = ("preset", "name", "backend", "labels", "maps", "validation_maps", "models", "images", "validation_images")
# With a time budget and no number of steps, time alone decides.
_UNBOUNDED_STEPS = 10**8


@dataclass(frozen=True)
class Settings:
    """What was asked for, flags before file before preset.

    Parameters
    ----------
    preset
        Name of the preset that everything starts from.
    name
        Of the model.
    precision
        Number format that was asked for; ``None``: what suits.
    inputs
        Label maps, models to build on, and what makes samples.
    """

    preset: str
    name: str
    precision: str | None
    experiment: Experiment
    inputs: Inputs


def read_train_settings(args: argparse.Namespace) -> Settings:
    """Return what the command line and its settings file ask for; ``SynthSegError`` for what cannot be."""
    _take_pairs(args)
    content = {} if args.config is None else read_mapping(args.config, "settings", remedy="see config/train.yaml")
    facts = {entry: content.pop(entry) for entry in _FACTS if entry in content}
    task = args.task or content.get("task")
    preset = args.preset or facts.get("preset") or (task_called(str(task)).preset if task else None)
    if preset is None:
        names = ", ".join(preset_names())
        raise UsageError("--preset", found="none", expected=f"one of {names}", remedy="choose one, for a start tiny")
    experiment = _with_time(_changed(Experiment.preset(str(preset)), args, content), args)
    experiment = _continued(experiment, args)
    name = str(args.name or facts.get("name") or args.out.resolve().name)
    precision = args.precision or _precision(content)
    backend = str(args.backend or facts.get("backend") or BACKENDS[0])
    one_of("backend", backend, BACKENDS)
    images, held_out = (
        getattr(args, name) or _paths(facts.get(name), name) for name in ("images", "validation_images")
    )
    inputs = Inputs(_maps(args, facts, experiment), _models(args, facts), images, held_out, backend, args.out)
    return Settings(str(preset), name, precision, experiment, inputs)


def _take_pairs(args: argparse.Namespace) -> None:
    """Put the scans and label maps of tables in place of ``--images``, ``--maps`` and those to validate on."""
    for table, images, maps in (
        ("pairs", "images", "maps"),
        ("validation_pairs", "validation_images", "validation_maps"),
    ):
        if (path := getattr(args, table)) is None:
            continue
        if taken := next((name for name in (images, maps) if getattr(args, name)), None):
            flag, other = (f"--{name.replace('_', '-')}" for name in (table, taken))
            raise UsageError(flag, found=f"{other} too", expected="one of them", remedy="leave one out")
        for name, paths in zip((images, maps), listed_pairs(path), strict=True):
            setattr(args, name, paths)


def crop_shape(text: str) -> list[int] | None:
    """Return three edges from ``96``, ``96x128x96`` or ``whole`` (``None``)."""
    words = text.lower().split("x")
    if text == "whole":
        return None
    if len(words) not in (1, 3) or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UsageError(
            "--crop", found=repr(text), expected="a number, NxNxN, or whole", remedy="give voxels of the samples"
        )
    return [int(word) for word in (words if len(words) == 3 else words * 3)]


def _changed(experiment: Experiment, args: argparse.Namespace, content: dict[str, Any]) -> Experiment:
    """Apply the settings of the file, with the flag's recipe instead of its own, and then the flags."""
    if args.recipe is not None:
        content = content | {"recipe": args.recipe}
    return experiment.changed(content).changed(_flags(args), "command line")


def _flags(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that flags give, nested as in an experiment."""
    training = {
        "batch_size": args.batch_size,
        "start_from": args.start_from,
        "seed": args.seed,
        "device": args.device,
        "gradient_checkpointing": args.gradient_checkpointing or None,
        "optimiser": _given(learning_rate=args.learning_rate) or None,
    }
    return {
        "training": _given(**training),
        "recipe": {"crop": {"shape": crop_shape(args.crop)}} if args.crop else {},
        "validation": _given(whole=args.validate_whole or None),
        **_given(task=args.task),
        "scans": _given(table=None if args.scans is None else str(args.scans)),
    }


def _precision(content: Mapping[str, Any]) -> str | None:
    """Return the number format that a settings file asks for; its name has been checked with the rest."""
    return (content.get("training") or {}).get("precision")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _with_time(experiment: Experiment, args: argparse.Namespace) -> Experiment:
    """Set the number of steps and the time budget."""
    if args.budget is None:
        return experiment if args.steps is None else experiment.with_steps(args.steps)
    training = replace(experiment.training, budget_s=parse_duration(args.budget))
    return replace(experiment, training=training).with_steps(args.steps or _UNBOUNDED_STEPS)


def _continued(experiment: Experiment, args: argparse.Namespace) -> Experiment:
    """Start from the weights of ``--continue-from``, at their place in the schedule."""
    if args.continue_from is None:
        if args.at_step is not None:
            raise UsageError(
                "--at-step", found="no weights", expected="--continue-from", remedy="say what it is the step of"
            )
        return experiment
    if args.start_from is not None:
        raise UsageError("--continue-from", found="--start-from too", expected="one of them", remedy="leave one out")
    if args.budget is not None and args.steps is None:
        raise UsageError(
            "--continue-from",
            found="--budget, and no number of steps",
            expected="a schedule in steps, in which the weights have a place",
            remedy="give --steps, those before included",
        )
    steps = _steps_behind(args)
    return replace(experiment, training=replace(experiment.training, start_from=args.continue_from, start_step=steps))


def _steps_behind(args: argparse.Namespace) -> int:
    """Return the steps behind the weights of ``--continue-from``; of a training that goes on, those it began with."""
    if args.at_step is not None:
        return args.at_step
    stored = stored_config(args.out) if (args.out / LAST).is_file() else None
    if stored is not None:
        return stored.start_step
    steps = steps_behind(Path(args.continue_from))
    if steps is None:
        raise UsageError(
            "--continue-from",
            found=f"no number of steps with {args.continue_from}",
            expected="a training folder, its checkpoints, or the card of a model that was trained here",
            remedy="give --at-step",
        )
    return steps


def _models(args: argparse.Namespace, facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the models that the task builds on, by role."""
    given = facts.get("models") or {}
    if not isinstance(given, Mapping):
        raise UsageError("models", found=f"{given!r}", expected="roles with models", remedy="correct the settings")
    if unknown := [str(role) for role in given if role not in ROLES]:
        expected = f"some of {', '.join(ROLES)}"
        raise UsageError("models", found=", ".join(unknown), expected=expected, remedy="correct the settings")
    found = {role: getattr(args, role) or given.get(role) for role in ROLES}
    return {role: str(model) for role, model in found.items() if model}


def _maps(args: argparse.Namespace, facts: Mapping[str, Any], experiment: Experiment) -> MapsSource:
    """Return the label maps and their list."""
    maps = args.maps or _paths(facts.get("maps"), "maps")
    if not maps:
        raise UsageError("--maps", found="none", expected="a folder of label maps", remedy="give one")
    labels = read_labels(str(args.labels or facts.get("labels") or "generation_54"), experiment.recipe)
    held_out = args.validation_maps or _paths(facts.get("validation_maps"), "validation_maps")
    return MapsSource(maps, labels, held_out, "background" if args.ignore_unknown else "refuse")


def _paths(value: Any, name: str) -> list[Path]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in values):
        raise UsageError(name, found=f"{value!r}", expected="a path, or a list of paths", remedy="correct it")
    return [Path(one) for one in values]
