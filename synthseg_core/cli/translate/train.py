"""``synthseg translate train``: learn to translate between the two domains of a dataset, both ways."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthseg_core.errors import UsageError
from synthseg_core.system.paths import resource_names
from synthseg_core.system.words import counted

if TYPE_CHECKING:
    from synthseg_core.translation.config import TranslationConfig
    from synthseg_core.translation.dataset import TranslationData

_METHODS = ("diffusion", "cycle", "histogram", "affine")
_TRAINED = _METHODS[:2]
_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    presets = ", ".join(resource_names("translation"))
    parser.add_argument(
        "--dataset", type=Path, required=True, metavar="DIR", help="that 'synthseg translate dataset' wrote"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of this training; an interrupted one goes on"
    )
    parser.add_argument("--name", metavar="NAME", help="name of the translator (default: that of the folder)")
    settings = parser.add_argument_group("settings")
    settings.add_argument("--preset", default="small", metavar="NAME", help=f"{presets} (default: %(default)s)")
    settings.add_argument(
        "--method", choices=_METHODS, help="default: that of the preset; the last two are measured, not trained"
    )
    settings.add_argument("--config", type=Path, metavar="YAML", help="settings that differ from the preset")
    settings.add_argument("--steps", type=int, metavar="N", help="optimiser steps")
    settings.add_argument("--budget", metavar="TIME", help="stop within a time such as 25m or 1h30m")
    settings.add_argument("--size", type=int, metavar="PIXELS", help="edge of the crops")
    settings.add_argument("--batch-size", type=int, metavar="N", help="images of each domain in a step")
    settings.add_argument(
        "--best", action="store_true", help="the translator gets the weights that validated best, not the last ones"
    )
    settings.add_argument("--seed", type=int, metavar="N", help="of first weights and draws")
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")
    machine.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        help="number format (default: the fastest in a race of a few steps)",
    )
    machine.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")
    machine.add_argument("--no-preview", action="store_true", help="no preview.png")
    machine.add_argument("--tensorboard", action="store_true", help="events for TensorBoard too")


def run(args: argparse.Namespace) -> int:
    """Train, or measure, and write the translator."""
    from synthseg_core.networks.devices import use_threads
    from synthseg_core.translation.dataset import open_dataset
    from synthseg_core.translation.export import write_matching

    use_threads(args.threads)
    data = open_dataset(args.dataset)
    if len(data.domains) != 2:
        raise UsageError(
            args.dataset,
            found=counted(len(data.domains), "domain"),
            expected="two",
            remedy="make the dataset with two --domain",
        )
    name = args.name or args.out.absolute().name
    if args.method in _METHODS[2:]:
        card = write_matching(args.out, name, args.method, data)
        print(f"translator: {card.source}")
        return 0
    return _train(args, name, data)


def _train(args: argparse.Namespace, name: str, data: TranslationData) -> int:
    from synthseg_core.networks.devices import choose_device, hardware_text
    from synthseg_core.training.checkpoint import LAST
    from synthseg_core.training.parallel import environment_ranks
    from synthseg_core.translation.export import export_translator
    from synthseg_core.translation.training import TranslationRun, train_translator

    ranks = environment_ranks()
    config = _config(args, data)
    if ranks.writes:
        facts = f"{config.networks.method}, {config.size} pixels, {config.precision}"
        counts = ", ".join(f"{domain} {counted(data.count(domain, 'train'), 'image')}" for domain in data.domains)
        print(f"{counts}; {facts}")
        if (args.out / LAST).is_file():
            print(f"{args.out}: going on from {LAST}")
        sys.stdout.flush()
    pictures = ranks.writes and _pictures(args)
    run_ = TranslationRun(config, data, args.out, _identity(data), data.description.paired, pictures, args.tensorboard)
    outcome = train_translator(run_)
    status = 0 if outcome.finished else _INTERRUPTED
    if not ranks.writes:
        return status
    facts = {
        "steps": outcome.best_step if args.best and outcome.best_step else outcome.step,
        "hours": round(outcome.seconds / 3600, 2),
        "distance": None if outcome.best_distance is None else round(outcome.best_distance, 4),
        "preset": args.preset,
        "command": shlex.join(["synthseg", *args.words]),
        "hardware": hardware_text(choose_device(args.device), ranks.size),
    }
    card = export_translator(args.out, name, config, data, _known(facts), best=args.best)
    print(f"{args.out}: {counted(outcome.step, 'step')} in {outcome.seconds / 60:.1f} minutes")
    if not outcome.finished:
        print(f"{args.out}: stopped as asked; the same command goes on from here")
    first, second = data.domains
    call, out = ("apply SCAN", "--image IMAGE") if card.is_for_scans else ("pictures SOURCE", "--out DIR")
    print(f"translator: {card.source}\nuse it: synthseg translate {call} --translator {card.source}"
          f" --to {second} {out}  (or --to {first})")  # fmt: skip
    return status


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _config(args: argparse.Namespace, data: TranslationData) -> TranslationConfig:
    from synthseg_core.system.settings import read_mapping
    from synthseg_core.training.budget import parse_duration
    from synthseg_core.translation.config import TranslationConfig

    config = TranslationConfig.preset(args.preset)
    given: dict[str, Any] = {}
    if args.config is not None:
        given = read_mapping(args.config, "settings of a translation")
        config = config.changed(given, str(args.config))
    networks: dict[str, Any] = {"neighbours": data.neighbours}
    if args.method is not None:
        networks["method"] = args.method
    named = {name: getattr(args, name) for name in ("steps", "size", "batch_size", "seed")}
    changes = {name: value for name, value in named.items() if value is not None}
    budget = None if args.budget is None else parse_duration(args.budget)
    config = config.changed({"networks": networks, **changes}, "options")
    config = replace(config, budget_s=budget, device=args.device)
    precision = args.precision or given.get("precision") or _stored_precision(args.out)
    return replace(config, precision=precision or _fastest_precision(config, data))


def _stored_precision(folder: Path) -> str | None:
    """Return the number format of the training that goes on."""
    from synthseg_core.system.settings import known_mapping
    from synthseg_core.training.checkpoint import CONFIG, LAST

    is_begun = (folder / LAST).is_file()
    return known_mapping(folder / CONFIG).get("translation", {}).get("precision") if is_begun else None


def _fastest_precision(config: TranslationConfig, data: TranslationData) -> str:
    """Return the fastest number format; of several processes, which must agree, each takes what needs no trial."""
    from synthseg_core.networks.devices import choose_device
    from synthseg_core.networks.precision import formats_of
    from synthseg_core.system.settings import to_content
    from synthseg_core.training.parallel import environment_ranks
    from synthseg_core.training.precision_race import fastest
    from synthseg_core.translation.step import trial_steps

    ranks = environment_ranks()
    device = choose_device(ranks.device(config.device))
    formats = formats_of(device)
    if "float16" in formats:  # a GPU without bfloat16
        return "float32"
    if ranks.size > 1:
        return formats[-1] if device.type == "cuda" else formats[0]
    result = fastest(to_content(config.networks), device, lambda: trial_steps(config, data, device))
    print(f"precision: {result}")
    return result.precision


def _identity(data: TranslationData) -> dict[str, Any]:
    """Return what tells a dataset from another one."""
    return {
        "domains": list(data.domains),
        "plane": data.plane,
        "spacing_mm": data.spacing_mm,
        "images": {domain: data.count(domain, "train") for domain in data.domains},
        "subjects": sorted({f"{stack.domain}/{stack.subject}/{stack.session}/{stack.split}" for stack in data.stacks}),
    }


def _pictures(args: argparse.Namespace) -> bool:
    """Say whether to draw previews: unless told otherwise, if the package for it is there."""
    from synthseg_core.images.figures import require_matplotlib

    if args.no_preview:
        return False
    try:
        require_matplotlib("preview")
    except UsageError:
        print(
            "synthseg translate train: note: no preview.png, because matplotlib is not installed"
            " (pip install 'synthseg-bids[pictures]')",
            file=sys.stderr,
        )
        return False
    return True
