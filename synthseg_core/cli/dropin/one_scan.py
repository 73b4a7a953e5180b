"""One scan the way the reference command does it: read, segment, write its images and the cells of its tables.

The parts that need torch are imported late, so that usage errors and help come at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthseg_core.cli.dropin.flags import ModelFlags
from synthseg_core.cli.dropin.plan import ScanOutputs
from synthseg_core.cli.dropin.tables import score_text, volume_text
from synthseg_core.errors import UsageError
from synthseg_core.images.formats import extension
from synthseg_core.images.mgh_tags import LabelColour
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.resampling import nearest_on
from synthseg_core.images.writing import write_volume
from synthseg_core.labels.viewers import freesurfer_colours, meanings, with_parcels
from synthseg_core.models.card import ModelCard
from synthseg_core.models.registry import companion, load_card
from synthseg_core.models.weights import find_weights
from synthseg_core.quirks import REFERENCE
from synthseg_core.segmentation.volumes import volume_table

if TYPE_CHECKING:
    import torch

    from synthseg_core.models.loading import Models
    from synthseg_core.segmentation.segment import Segmentation


@dataclass(frozen=True)
class Row:
    """Column names and cells of one scan in one table."""

    columns: tuple[str, ...]
    cells: tuple[str, ...]


def needed_cards(flags: ModelFlags, *, quality: bool) -> tuple[ModelCard, ...]:
    """Return the cards of the model and of the companions that were asked for."""
    card = load_card(flags.model)
    tasks = [task for task, wanted in (("parcellation", flags.parcellation), ("quality", quality)) if wanted]
    return (card, *(companion(card, task) for task in tasks))


def settings_of(flags: ModelFlags, *, quality: bool) -> dict[str, Any]:
    """Return all but the scan that numbers depend on, as plain JSON values; missing weights are an error here."""
    cards = needed_cards(flags, quality=quality)
    return {
        "model": flags.model,
        "weights": {card.name: find_weights(card, flags.weights).sha256 for card in cards},
        "parcellation": flags.parcellation,
        "quality": quality,
        "fast": flags.fast,
        "ct": flags.ct,
        "crop": None if flags.crop is None else list(flags.crop),
        # Only where they are asked for, so that records of versions without them stay valid.
        **{name: True for name in ("autocrop", "keep_geometry") if getattr(flags, name)},
    }


def load(flags: ModelFlags, *, quality: bool) -> Models:
    """Load the models onto the device, and say once what is doubtful about them."""
    from synthseg_core.models.loading import load_models
    from synthseg_core.networks.devices import use_threads

    use_threads(flags.threads)
    models = load_models(
        load_card(flags.model),
        weights=flags.weights,
        device=_device(flags),
        parcellation=flags.parcellation,
        quality=quality,
    )
    for warning in models.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return models


def _device(flags: ModelFlags) -> torch.device:
    import torch

    from synthseg_core.networks.devices import choose_device

    device = choose_device(flags.device)
    if device.type != "cuda" or flags.gpu is None:
        return device
    if flags.gpu >= torch.cuda.device_count():
        raise UsageError(
            "--gpu_id",
            found=str(flags.gpu),
            expected=f"less than {torch.cuda.device_count()}, the number of GPUs",
            remedy="choose another GPU",
        )
    return torch.device("cuda", flags.gpu)


def read(path: Path) -> Scan:
    """Read a scan with the reference's rules."""
    return read_scan(path, quirks=REFERENCE)


def compute(scan: Scan, models: Models, flags: ModelFlags, *, keep_posteriors: bool, overlapped: bool) -> Segmentation:
    """Segment a scan with the reference's rules.

    Parameters
    ----------
    scan
        Read with the same quirks.
    models
        Network and companions.
    flags
        The command line.
    keep_posteriors
        Whether posteriors will be written; otherwise their memory, about a gigabyte, is given back at once.
    overlapped
        Whether other scans are read and written meanwhile.
    """
    from synthseg_core.segmentation.segment import segment_scan
    from synthseg_core.segmentation.segmenter import SegmentOptions

    options = SegmentOptions(
        fast=flags.fast,
        ct=flags.ct,
        crop=flags.crop,
        autocrop=flags.autocrop,
        quirks=REFERENCE,
        posteriors=keep_posteriors,
        overlapped=overlapped,
    )
    result = segment_scan(scan, models, options)
    known = set(models.warnings)
    result = replace(result, warnings=tuple(line for line in result.warnings if line not in known))
    return result if keep_posteriors else result.without_scores()


def warn_without_place(flags: ModelFlags, label_maps: Iterable[Path], *, asked: bool) -> None:
    """Say that a colour table was asked for, and that no label map has a place for it."""
    if asked and flags.colour_table and not any(extension(path) in (".mgz", ".mgh") for path in label_maps):
        print("warning: --addctab: only label maps in .mgz have a place for a colour table", file=sys.stderr)


def write_images(outputs: ScanOutputs, scan: Scan, result: Segmentation, flags: ModelFlags) -> None:
    """Write the images that are wanted; the resampled scan only if there was resampling."""
    from synthseg_core.segmentation.segment import scan_at_answer

    labels = nearest_on(result.label_map, scan.volume) if flags.keep_geometry else result.label_map
    colours = _colours(flags) if flags.colour_table else ()
    write_volume(outputs.segmentation, labels, like=scan, dtype=np.int32, quirks=REFERENCE, colours=colours)
    if outputs.posteriors is not None:
        write_volume(outputs.posteriors, result.posteriors, like=scan, dtype=np.float32, quirks=REFERENCE)
    resampled = None if outputs.resampled is None else scan_at_answer(scan, result, REFERENCE)
    if outputs.resampled is not None and resampled is not None:
        write_volume(outputs.resampled, resampled, like=scan, quirks=REFERENCE)


@cache
def _colours(flags: ModelFlags) -> tuple[LabelColour, ...]:
    """Return the colour table of the label maps."""
    structures, *parcels = (meanings([card.labels]) for card in needed_cards(flags, quality=False))
    return tuple(freesurfer_colours(with_parcels(structures, parcels[0]) if parcels else structures))


def volume_columns(flags: ModelFlags) -> tuple[str, ...]:
    """Return the names of the volume columns, before there is any result."""
    cards = needed_cards(flags, quality=False)
    groups = [(card.labels, np.zeros(len(card.labels)), None) for card in cards]
    inference = cards[0].inference
    table = volume_table(*groups, total_intracranial=inference.total_intracranial, total_of=inference.total_of)
    return table.names


def quality_columns(flags: ModelFlags) -> tuple[str, ...]:
    """Return the names of the score columns."""
    return needed_cards(flags, quality=True)[-1].labels.names[1:]


def volumes_row(result: Segmentation, *, cropped: bool) -> Row:
    """Return volumes in mm³; the reference sums in float64 after cropping and in float32 otherwise."""
    table = result.volumes
    return Row(table.names, tuple(volume_text(volume, double=cropped) for volume in table.soft_mm3))


def quality_row(result: Segmentation) -> Row:
    """Return the scores of a segmentation that was made with quality control."""
    assert result.quality is not None
    return Row(tuple(s.name for s in result.quality), tuple(score_text(s.score) for s in result.quality))


def citations(flags: ModelFlags, *, quality: bool) -> str:
    """Return what to cite when the results are used; empty for models without papers."""
    papers = dict.fromkeys(paper for card in needed_cards(flags, quality=quality) for paper in card.citation)
    return "\n".join(["If you use these results, please cite:", *(f"  {paper}" for paper in papers)]) if papers else ""
