"""``synthseg describe``: write the files that describe a derivative dataset as a whole."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from synthseg_core import __version__
from synthseg_core.bids.description import DatasetFacts, write_dataset_files
from synthseg_core.bids.names import STAGES
from synthseg_core.errors import UsageError
from synthseg_core.models.card import ModelCard
from synthseg_core.models.registry import companion, load_card
from synthseg_core.segmentation.merge import merged_meanings
from synthseg_core.system.settings import known_mapping

CONTAINER_VARIABLE = "SYNTHSEG_CONTAINER"
"""Environment variable that container recipes set to the address of the image."""
_CODE_LABELS = ("source", "source code", "repository", "code", "homepage")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="derivative dataset")
    parser.add_argument(
        "--model", required=True, nargs="+", metavar="NAME|CARD", help="models that make the segmentations"
    )
    parser.add_argument("--merge-head", metavar="NAME|CARD", help="model of the tissues around (stage merge_head)")
    parser.add_argument("--source", type=Path, required=True, metavar="DIR", help="dataset of the scans")
    parser.add_argument(
        "--stages", nargs="+", choices=STAGES, default=["segment"], metavar="STAGE", help=f"of {', '.join(STAGES)}"
    )


def run(args: argparse.Namespace) -> int:
    """Write the files."""
    dataset: Path = args.dataset
    source: Path = args.source
    models = tuple(map(load_card, args.model))
    head = _head(args)
    facts = DatasetFacts(
        models=models,
        source=Path(os.path.relpath(source, dataset)).as_posix(),
        version=__version__,
        parcellations=_companions(models, "parcellation") if "parcellate" in args.stages else (),
        qualities=_companions(models, "quality") if "qc" in args.stages else (),
        heads=(head,) if head else (),
        head_labels=merged_meanings([card.labels for card in models], head.labels) if head else (),
        code_url=_code_url(),
        container=os.environ.get(CONTAINER_VARIABLE, ""),
        raw=known_mapping(source / "dataset_description.json"),
    )
    write_dataset_files(dataset, facts)
    return 0


def _head(args: argparse.Namespace) -> ModelCard | None:
    """Return the model of the head, which belongs to the stage ``merge_head``."""
    if (args.merge_head is None) == ("merge_head" in args.stages):
        raise UsageError(
            "--merge-head",
            found=f"{args.merge_head or 'none'} with the stages {', '.join(args.stages)}",
            expected="a model of the head with the stage merge_head, and none without",
            remedy="give both, or neither",
        )
    return None if args.merge_head is None else load_card(args.merge_head)


def _companions(models: Iterable[ModelCard], task: str) -> tuple[ModelCard, ...]:
    """Return the models for a task that belong to some of the models; ``ModelError`` if none has one."""
    known = tuple(models)
    offering = [card for card in known if task in card.companions] or list(known[:1])
    return tuple({found.name: found for found in (companion(card, task) for card in offering)}.values())


def _code_url() -> str:
    """Return where the installed package says its code is; empty if it does not."""
    try:
        entries = metadata("synthseg-bids").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    urls = {label.strip().lower(): url.strip() for label, _, url in (entry.partition(",") for entry in entries)}
    return next((urls[label] for label in _CODE_LABELS if label in urls), "")
