"""``synthseg validate``: Dice of a model on fixed synthetic scans of held-out label maps, and on labelled scans.

Of a quality model: how well the Dice that it predicts agrees with the true one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthseg_core import __version__
from synthseg_core.errors import UsageError
from synthseg_core.models.card import ModelCard
from synthseg_core.models.registry import DEFAULT_MODEL, default_model, load_card
from synthseg_core.system.atomic import check_writable
from synthseg_core.system.words import counted

if TYPE_CHECKING:
    from synthseg_core.evaluation.labelled import LabelledScan
    from synthseg_core.evaluation.validation import Scores
    from synthseg_core.models.loading import Models


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME|CARD",
        help=f"registered model, or card file (default: {default_model()})",
    )
    model.add_argument("--weights", type=Path, metavar="DIR", help="folder with the weights (default: usual places)")
    model.add_argument(
        "--segmenter", metavar="NAME|CARD", help="for a quality model: the model whose segmentations it judges"
    )
    model.add_argument("--fast", action="store_true", help="no flip averaging, simpler clean-up")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")
    model.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")
    draws = parser.add_argument_group("synthetic scans")
    draws.add_argument("--maps", nargs="+", type=Path, metavar="PATH", help="held-out label maps: a folder, or files")
    draws.add_argument(
        "--labels", default="generation_54", metavar="LIST", help="label list of the maps (default: %(default)s)"
    )
    draws.add_argument(
        "--recipe", default="official", metavar="NAME|FILE", help="what scans look like (default: %(default)s)"
    )
    draws.add_argument("--draws", type=int, default=40, metavar="N", help="number of scans (default: %(default)s)")
    draws.add_argument("--cache", type=Path, metavar="DIR", help="keep the scans here for the next model")
    real = parser.add_argument_group("labelled scans")
    real.add_argument(
        "--labelled",
        nargs=3,
        type=Path,
        action="append",
        default=[],
        metavar=("IMAGE", "LABELS", "REMAP"),
        help="scan, label map on its grid, and TSV that translates the labels; may be repeated",
    )
    out = parser.add_argument_group("outputs")
    out.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for validation.tsv and .json")
    out.add_argument("--record", action="store_true", help="write the figures into the model's card too")


def run(args: argparse.Namespace) -> int:
    """Score the model and write the report."""
    card = _checked(args)
    if card.task == "quality":
        return _judge(args, card)
    from synthseg_core.evaluation.score_tables import SUMMARY_NAME, summary, write_report
    from synthseg_core.models.loading import load_models
    from synthseg_core.networks.devices import choose_device, use_threads

    device = choose_device(args.device)
    use_threads(args.threads)
    models = load_models(card, weights=args.weights, device=device)
    sets = _sets(args, models)
    facts = _facts(args, models)
    write_report(args.out, sets, card.labels, facts)
    for name, scores in sets.items():
        print(f"{name}: mean Dice {scores.score:.4f} over {counted(len(scores.cases), 'scan')}")
    print(f"written to {args.out / SUMMARY_NAME}")
    if args.record:
        _record(card, {name: summary(scores, card.labels) for name, scores in sets.items()})
    return 0


def _judge(args: argparse.Namespace, card: ModelCard) -> int:
    """Score a quality model and write the report."""
    from dataclasses import replace

    from synthseg_core.evaluation.draws import FIRST_SEED
    from synthseg_core.evaluation.quality_scores import (
        SUMMARY_NAME,
        Judges,
        agreement,
        held_out_pairs,
        summary,
        with_faults,
        write_quality_report,
    )
    from synthseg_core.models.card_file import rewrite_card
    from synthseg_core.models.loading import load_model, load_models
    from synthseg_core.networks.devices import choose_device, use_threads
    from synthseg_core.synth.maps import read_maps
    from synthseg_core.synth.recipe_file import read_recipe

    judged, device = load_card(args.segmenter), choose_device(args.device)
    use_threads(args.threads)
    segmenter = load_models(judged, weights=args.weights, device=device).segmentation
    models = Judges(load_model(card, weights=args.weights, device=device), segmenter)
    recipe = read_recipe(args.recipe)
    maps = read_maps(args.maps[0] if len(args.maps) == 1 else args.maps, recipe, args.labels)
    make = held_out_pairs(models, maps, recipe, args.cache)
    seeds = range(FIRST_SEED, FIRST_SEED + args.draws)
    sets = {
        name: agreement(models.quality, some, seeds, lambda line: print(line, file=sys.stderr, flush=True))
        for name, some in (("synthetic", make), ("with_faults", with_faults(make, card.grid.voxel_size_mm)))
    }
    facts = {
        "version": __version__,
        "model": {"name": card.name, "weights_sha256": models.quality.weights.sha256},
        "segmenter": {"name": judged.name, "weights_sha256": segmenter.weights.sha256},
        "options": {"maps": [path.name for path in args.maps], "recipe": Path(args.recipe).name},
    }
    write_quality_report(args.out, sets, card.labels, facts)
    for name, found in sets.items():
        print(f"{name}: {found.text()} over {counted(args.draws, 'pair')}")
    print(f"written to {args.out / SUMMARY_NAME}")
    if args.record:
        figures = {name: summary(found, card.labels) for name, found in sets.items()}
        rewrite_card(replace(card, training={**card.training, "quality": figures}))
        print(f"recorded in {card.source}")
    return 0


def _checked(args: argparse.Namespace) -> ModelCard:
    """Check what costs nothing to check, and return the card."""
    if not args.maps and not args.labelled:
        raise UsageError(
            "synthseg validate",
            found="nothing to score the model on",
            expected="--maps, --labelled or both",
            remedy="name held-out label maps or a labelled scan",
        )
    if args.draws < 1:
        raise UsageError("--draws", found=str(args.draws), expected="1 or more", remedy="correct the number")
    check_writable(args.out / "validation.tsv")
    card = load_card(args.model)
    _check_task(args, card)
    if args.record:
        check_writable(card.source)
    return card


def _check_task(args: argparse.Namespace, card: ModelCard) -> None:
    """Refuse options that do not belong to what the model is for."""
    if (card.task == "quality") != (args.segmenter is not None):
        raise UsageError(
            "--segmenter",
            found=f"{args.segmenter or 'none'} for {card.name}, a model for {card.task}",
            expected="the model whose segmentations a quality model judges, for nothing else",
            remedy="give it" if card.task == "quality" else "leave it out",
        )
    if card.task == "quality" and (args.labelled or args.fast or not args.maps):
        raise UsageError(
            "synthseg validate",
            found=f"--labelled, --fast or no --maps for {card.name}, a model for quality",
            expected="--maps",
            remedy="name held-out label maps alone",
        )


def _sets(args: argparse.Namespace, models: Models) -> dict[str, Scores]:
    """Return the scores on each set of scans."""
    from synthseg_core.evaluation.labelled import read_labelled_scan
    from synthseg_core.labels.remap import Remap

    sets = {}
    remaps = [Remap.read(remap) for _, _, remap in args.labelled]  # first, since mistakes in them cost nothing yet
    if args.maps:
        draws = _draws(args)
        sets["synthetic"] = _scores(args, models, draws, draws.labels)
    if args.labelled:
        scans = (read_labelled_scan(i, m, remap) for (i, m, _), remap in zip(args.labelled, remaps, strict=True))
        sets["labelled"] = _scores(args, models, scans, {label for remap in remaps for label in remap.labels})
    return sets


def _draws(args: argparse.Namespace) -> Any:
    from synthseg_core.evaluation.draws import FixedDraws
    from synthseg_core.synth.maps import read_maps
    from synthseg_core.synth.recipe_file import read_recipe

    recipe = read_recipe(args.recipe)
    source = args.maps[0] if len(args.maps) == 1 else args.maps
    return FixedDraws(read_maps(source, recipe, args.labels), recipe, args.draws, cache=args.cache)


def _scores(args: argparse.Namespace, models: Models, scans: Iterable[LabelledScan], truth: Iterable[int]) -> Scores:
    from synthseg_core.evaluation.validation import Scores, score_each, scored_labels
    from synthseg_core.segmentation.segmenter import SegmentOptions

    labels = scored_labels(models.segmentation.card.labels, truth)
    cases = []
    for case in score_each(models, scans, labels, SegmentOptions(fast=args.fast)):
        cases.append(case)
        print(f"{case.case}: {case.score:.4f}", file=sys.stderr, flush=True)
    return Scores(tuple(cases))


def _facts(args: argparse.Namespace, models: Models) -> dict[str, Any]:
    """Return what the scores are about."""
    loaded = models.segmentation
    return {
        "version": __version__,
        "model": {"name": loaded.card.name, "weights_sha256": loaded.weights.sha256},
        "options": {
            "fast": args.fast,
            "maps": [path.name for path in args.maps or ()],
            "labels": args.labels,
            "recipe": Path(args.recipe).name,
            "labelled": [path.name for path, _, _ in args.labelled],
        },
    }


def _record(card: ModelCard, dice: dict[str, Any]) -> None:
    """Write the scores into the card, beside those of other sets that it has."""
    from dataclasses import replace

    from synthseg_core.models.card_file import rewrite_card

    kept = {name: {key: value for key, value in one.items() if key != "cases"} for name, one in dice.items()}
    known = card.training.get("dice")
    training = {**card.training, "dice": {**(known if isinstance(known, dict) else {}), **kept}}
    rewrite_card(replace(card, training=training))
    print(f"recorded in {card.source}")
