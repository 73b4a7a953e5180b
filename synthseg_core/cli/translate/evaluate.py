"""``synthseg translate evaluate``: how good a translator is, by its images and by what is segmented in them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthseg_core.cli.translate.apply import add_translator_options, read_translator_options
from synthseg_core.errors import UsageError
from synthseg_core.models.registry import DEFAULT_MODEL, default_model

if TYPE_CHECKING:
    from synthseg_core.images.volume import Volume
    from synthseg_core.translation.evaluate import ScanScores
    from synthseg_core.translation.stacks import ApplyOptions, StackTranslator

IMAGES, ANATOMY, DOWNSTREAM = "images.tsv", "anatomy.tsv", "downstream.tsv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="score the images of a split of this dataset")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"), help="default: %(default)s")
    parser.add_argument("--scans", nargs="+", type=Path, metavar="PATH", help="segment these and their translations")
    parser.add_argument("--labels", nargs="+", type=Path, metavar="PATH", help="their label maps, in the same order")
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME|CARD",
        help=f"what segments; for the anatomy check one for any contrast (default: {default_model()})",
    )
    parser.add_argument("--weights", type=Path, metavar="DIR", help="folder with its weights (default: usual places)")
    add_translator_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the tables")


def run(args: argparse.Namespace) -> int:
    """Score what was asked for, and write a table for each."""
    if args.dataset is None and args.scans is None:
        raise UsageError(
            "synthseg translate evaluate", found="nothing to score", expected="--dataset or --scans", remedy="add one"
        )
    if args.labels is not None and args.scans is None:
        raise UsageError("--labels", found="them without --scans", expected="their scans", remedy="give both")
    if args.scans is not None and args.to is None and args.source_domain is None:
        raise UsageError("--scans", found="no direction", expected="--to or --from", remedy="say what they become")
    if args.dataset is not None:
        _score_dataset(args)
    if args.scans is not None:
        _score_scans(args, *read_translator_options(args))
    return 0


def _score_dataset(args: argparse.Namespace) -> None:
    from synthseg_core.translation.card import read_translator
    from synthseg_core.translation.dataset import open_dataset
    from synthseg_core.translation.evaluate import IMAGE_COLUMNS, score_images
    from synthseg_core.translation.stacks import ApplyOptions

    options = ApplyOptions(args.seed, args.samples, args.tile, args.overlap, args.batch_size)
    rows = score_images(open_dataset(args.dataset), args.split, read_translator(args.translator), options, args.device)
    for row in rows:
        print(f"{row['domain']}, {row['compared']}: L1 {row['l1']}, PSNR {row['psnr_db']} dB, SSIM {row['ssim']}")
    _write(args.out / IMAGES, rows, IMAGE_COLUMNS)


def _score_scans(args: argparse.Namespace, translator: StackTranslator, options: ApplyOptions) -> None:
    from synthseg_core.models.loading import load_models
    from synthseg_core.models.registry import load_card
    from synthseg_core.system.progress import CountLine
    from synthseg_core.translation.evaluate import (
        ANATOMY_COLUMNS,
        DOWNSTREAM_COLUMNS,
        anatomy_rows,
        downstream_rows,
        score_scan,
    )

    pairs = _pairs(args)
    card = load_card(args.model)
    models = load_models(card, weights=args.weights, device=translator.device)
    scores: list[ScanScores] = []
    with CountLine("segmenting") as progress:
        for number, (path, truth) in enumerate(pairs, 1):
            scores.append(score_scan(path, truth, models, translator, options))
            progress(number, len(pairs))
    names = dict(zip(card.labels.labels, card.labels.names, strict=True))
    _write(args.out / ANATOMY, anatomy_rows(scores, names), ANATOMY_COLUMNS)
    for one in scores:
        warning = "  ANATOMY CHANGED" if one.changed else ""
        print(f"{one.name}: Dice of scan and translation {one.mean_agreement:.3f}{warning}")
    if args.labels is not None:
        rows = downstream_rows(scores, names)
        _write(args.out / DOWNSTREAM, rows, DOWNSTREAM_COLUMNS)
        for row in (row for row in rows if row["name"] == "mean"):
            print(f"{row['scan']}: Dice with the labels {row['before']} before, {row['after']} after")


def _pairs(args: argparse.Namespace) -> list[tuple[Path, Volume | None]]:
    """Return scans with their label maps."""
    from synthseg_core.images.label_maps import label_map_paths, read_label_file
    from synthseg_core.images.pairs import paired

    if args.labels is None:
        return [(path, None) for path in label_map_paths(args.scans[0] if len(args.scans) == 1 else args.scans)]
    return [(case.images[0][1], read_label_file(case.label_map)) for case in paired(args.scans, args.labels)]


def _write(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    from synthseg_core.system.atomic import write_text
    from synthseg_core.system.tables import format_tsv

    write_text(path, format_tsv(rows, columns))
