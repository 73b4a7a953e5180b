"""``synthseg train``: train a network on label maps, and write it as a model that the other commands take."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthseg_core.cli.options import add_backend
from synthseg_core.errors import UsageError
from synthseg_core.system.paths import resource_names
from synthseg_core.system.words import counted
from synthseg_core.training.tasks import ROLES, TASKS

if TYPE_CHECKING:
    import torch

    from synthseg_core.cli.train_settings import Settings
    from synthseg_core.training.config import TrainConfig
    from synthseg_core.training.experiment import Experiment
    from synthseg_core.training.loop import Outcome
    from synthseg_core.training.parallel import Ranks
    from synthseg_core.training.prepare import Prepared

_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    _add_data(parser.add_argument_group("data"))
    _add_models(parser.add_argument_group("models to build on"))
    _add_settings(parser.add_argument_group("settings"))
    _add_machine(parser.add_argument_group("machine"))


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--maps", nargs="+", type=Path, metavar="PATH", help="label maps to train on: a folder, or files"
    )
    group.add_argument(
        "--validation-maps",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="label maps to validate on (default: other draws of the training maps)",
    )
    group.add_argument(
        "--images", nargs="+", type=Path, metavar="PATH", help="scans that the label maps belong to (task supervised)"
    )
    group.add_argument(
        "--validation-images", nargs="+", type=Path, metavar="PATH", help="those of the maps to validate on"
    )
    group.add_argument(
        "--pairs",
        type=Path,
        metavar="TSV",
        help="both in place of --images and --maps: table with the columns image and labels, such as provenance.tsv of"
        " 'synthseg translate scans'",
    )
    group.add_argument("--validation-pairs", type=Path, metavar="TSV", help="the same to validate on")
    group.add_argument("--scans", type=Path, metavar="TSV", help="such a table of real scans (task quality)")
    group.add_argument("--labels", metavar="LIST", help="label list, a file or generation_54 (default)")
    group.add_argument("--ignore-unknown", action="store_true", help="take values that the list lacks as background")
    group.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of this training; one that was interrupted goes on where it was",
    )
    group.add_argument("--name", metavar="NAME", help="name of the model (default: that of the folder)")


def _add_models(group: argparse._ArgumentGroup) -> None:
    for role, text in ROLES.items():
        tasks = " and ".join(name for name, task in TASKS.items() if role in task.models)
        group.add_argument(f"--{role.replace('_', '-')}", metavar="NAME|CARD", help=f"{text} (task {tasks})")


def _add_settings(group: argparse._ArgumentGroup) -> None:
    presets = ", ".join(resource_names("presets"))
    group.add_argument(
        "--task", metavar="NAME", help=f"what the network is for: {', '.join(TASKS)} (default: that of the preset)"
    )
    group.add_argument(
        "--preset", metavar="NAME", help=f"recipe, network and training: {presets} (default: that of the task)"
    )
    group.add_argument("--recipe", metavar="NAME|FILE", help="what samples look like (default: that of the preset)")
    add_backend(group)
    group.add_argument("--config", type=Path, metavar="YAML", help="settings that differ from the preset")
    group.add_argument("--steps", type=int, metavar="N", help="optimiser steps, shared among stages as in the preset")
    group.add_argument("--budget", metavar="TIME", help="plan for and stop within a time such as 25m or 1h30m")
    group.add_argument("--crop", metavar="N|NxNxN|whole", help="voxels of a sample; smaller than a head: patches")
    group.add_argument(
        "--validate-whole", action="store_true", help="validate on whole volumes, in windows of the crop"
    )
    group.add_argument("--batch-size", type=int, metavar="N", help="samples of a step, over all processes")
    group.add_argument("--learning-rate", type=float, metavar="RATE", help="peak of the schedule")
    group.add_argument(
        "--start-from", metavar="PATH", help="checkpoint, training folder, model or weights to start from"
    )
    group.add_argument(
        "--continue-from",
        metavar="PATH",
        help="start from these weights, in their place of the schedule, with a fresh optimiser",
    )
    group.add_argument(
        "--at-step", type=int, metavar="N", help="steps behind them (default: what the training or card says)"
    )
    group.add_argument("--seed", type=int, metavar="N", help="of first weights and draws")


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")
    group.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16"),
        help="number format (default: what a race of a few steps shows to be fastest here)",
    )
    group.add_argument("--gradient-checkpointing", action="store_true", help="less memory, a third slower")
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")
    group.add_argument("--no-snapshot", action="store_true", help="no snapshot.png")
    group.add_argument("--tensorboard", action="store_true", help="events for TensorBoard too")


def run(args: argparse.Namespace) -> int:
    """Check everything, train, and export the model."""
    began = time.monotonic()
    from synthseg_core.cli.train_settings import read_train_settings
    from synthseg_core.networks.devices import choose_device, use_threads
    from synthseg_core.system.progress import CountLine
    from synthseg_core.training.loop import run_training
    from synthseg_core.training.parallel import environment_ranks
    from synthseg_core.training.run import RunOptions
    from synthseg_core.training.tasks import prepare

    settings = read_train_settings(args)
    use_threads(args.threads)
    ranks = environment_ranks()
    device = choose_device(ranks.device(args.device))
    experiment = _with_precision(settings, args.out, device, ranks)
    with CountLine("reading label maps") as progress:
        prepared = prepare(experiment, settings.inputs, device, progress)
    picture = prepared.picture if ranks.writes and _snapshots(args) else None
    options = RunOptions(
        began, picture, prepared.measure, args.tensorboard, ahead=prepared.ahead, table=prepared.model.table
    )
    if ranks.writes:
        _announce(prepared, args.out, settings)
    outcome = run_training(
        prepared.config, prepared.source, args.out, validate=prepared.validate, data=prepared.data, options=options
    )
    if not ranks.writes:
        return _status(outcome)
    facts = _facts(settings, prepared, device) | {"command": shlex.join(["synthseg", *args.words])}
    return _finish(settings, prepared, outcome, facts)


def _with_precision(settings: Settings, folder: Path, device: torch.device, ranks: Ranks) -> Experiment:
    """Settle on a number format: the one asked for, that of the training that goes on, or what suits the device."""
    from synthseg_core.training.results import stored_config

    training = settings.experiment.training
    stored = stored_config(folder)
    precision = settings.precision or (stored.precision if stored else _fastest(training, device, ranks))
    return replace(settings.experiment, training=replace(training, precision=precision))


def _fastest(training: TrainConfig, device: torch.device, ranks: Ranks) -> str:
    """Return the fastest number format; of several processes, which must agree, each takes what needs no trial."""
    from synthseg_core.networks.precision import formats_of
    from synthseg_core.training.precision_race import fastest_precision

    if ranks.size > 1:
        return formats_of(device)[-1] if device.type == "cuda" else formats_of(device)[0]
    result = fastest_precision(training.network, device)
    print(f"precision: {result}")
    return result.precision


def _snapshots(args: argparse.Namespace) -> bool:
    """Say whether to draw pictures: unless told otherwise, if the package for it is there."""
    from synthseg_core.images.figures import require_matplotlib

    if args.no_snapshot:
        return False
    try:
        require_matplotlib("snapshot")
    except UsageError:
        print(
            "synthseg train: note: no snapshot.png, because matplotlib is not installed"
            " (pip install 'synthseg-bids[pictures]')",
            file=sys.stderr,
        )
        return False
    return True


def _announce(prepared: Prepared, folder: Path, settings: Settings) -> None:
    from synthseg_core.synth.cornucopia import TAKEN
    from synthseg_core.training.checkpoint import LAST
    from synthseg_core.training.start import taken_text

    if settings.inputs.backend == "cornucopia":
        print(f"synthseg train: note: cornucopia takes from the recipe {TAKEN}", file=sys.stderr)
    shape = "x".join(map(str, prepared.sample_shape))
    where = "held-out maps" if settings.inputs.maps.held_out else "other draws of the same maps"
    maps = counted(len(prepared.data["maps"]), "label map")
    what = "groups" if "pairs" in prepared.data else "classes"
    print(
        f"{maps}, samples of {shape} voxels of {prepared.model.voxel_size_mm:g} mm,"
        f" {len(prepared.model.table)} {what}, {prepared.config.precision};"
        f" validation: {where if prepared.validate else 'none'}"
    )
    if (folder / LAST).is_file():
        print(f"{folder}: going on from {LAST}")
    elif prepared.config.start_from is not None:
        print(taken_text(prepared.config.network, Path(prepared.config.start_from), prepared.model.table))
    sys.stdout.flush()


def _finish(settings: Settings, prepared: Prepared, outcome: Outcome, facts: dict[str, Any]) -> int:
    """Export the model, also that of a training that was asked to stop: the best weights so far, or their average."""
    from synthseg_core.training.export import export_run

    score = "" if outcome.best_score is None else f", best validation {prepared.measure} {outcome.best_score:.3f}"
    print(f"{outcome.folder}: {counted(outcome.step, 'step')} in {outcome.seconds / 60:.1f} minutes{score}")
    if outcome.best_score is not None:
        name = "validation_dice" if prepared.measure == "Dice" else "validation_score"
        facts[name] = round(outcome.best_score, 4)
    card = export_run(outcome.folder, settings.name, prepared.model, facts=facts)
    if not outcome.finished:
        print(f"{outcome.folder}: stopped as asked; the same command goes on from here")
    print(f"model: {card}\nuse it: {prepared.model.kind.use.format(card=card)}")
    return _status(outcome)


def _status(outcome: Outcome) -> int:
    """Return 0, or what the shell calls an interruption."""
    return 0 if outcome.finished else _INTERRUPTED


def _facts(settings: Settings, prepared: Prepared, device: torch.device) -> dict[str, Any]:
    """Return what the card shall say, beside what the training folder knows."""
    from synthseg_core.networks.devices import hardware_text
    from synthseg_core.synth.recipe_file import read_recipe, recipe_names
    from synthseg_core.training.parallel import environment_ranks

    facts: dict[str, Any] = {
        "preset": settings.preset,
        "labels": prepared.labels_name,
        "hardware": hardware_text(device, environment_ranks().size),
    }
    usual = [name for name in recipe_names() if read_recipe(name) == settings.experiment.recipe]
    return facts | ({"recipe": usual[0]} if usual else {})
