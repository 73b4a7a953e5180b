"""One folder for a segmentation model and the models that add parcels and quality scores to it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from synthseg_core.errors import ModelError
from synthseg_core.models.card import ModelCard
from synthseg_core.models.card_file import card_text, read_card
from synthseg_core.models.registry import SIZE_TOLERANCE_MM
from synthseg_core.models.weights import FoundWeights, find_weights
from synthseg_core.system.atomic import atomic_path, write_text

CARD, TABLE = "card.yaml", "labels.tsv"


def combine(segmenter: ModelCard, companions: Mapping[str, ModelCard], folder: Path, name: str) -> ModelCard:
    """Write a folder with a segmentation model and its companions, whose card offers all that they do.

    Everything is checked, weights included, before the first file is written.

    Parameters
    ----------
    segmenter
        Segmentation model; companions that it has already stay, unless another one is given.
    companions
        By task, ``parcellation`` and ``quality``.
    folder
        Where they go: the card of the whole, and a folder for each companion.
    name
        Of the whole.

    Returns
    -------
    ModelCard
        The card of the whole. Where parcels are added to a model that answers on a finer grid than its network's, the
        whole answers on the network's grid: parcels are not interpolated.

    Raises
    ------
    ModelError
        If a model is for something else, works on another grid, or needs structures that the segmentation lacks.
    WeightsError
        If weights are missing or damaged.
    """
    if segmenter.task != "segmentation":
        raise segmenter.fault(f"a model for {segmenter.task}", "a segmentation model to add to", "name one")
    for task, card in companions.items():
        _check(segmenter, task, card)
    every = {"": segmenter, **companions}
    found = {task: find_weights(card) for task, card in every.items()}
    links = {task: f"{task}/{CARD}" for task in companions}
    grid = replace(segmenter.grid, answer_voxel_size_mm=None) if "parcellation" in companions else segmenter.grid
    for task, card in companions.items():
        _write(replace(card, source=folder / task / CARD), found[task])
    whole = replace(segmenter, name=name, source=folder / CARD, grid=grid, companions={**segmenter.companions, **links})
    _write(whole, found[""])
    return read_card(folder / CARD)


def _check(segmenter: ModelCard, task: str, card: ModelCard) -> None:
    if card.task != task:
        raise card.fault(f"a model for {card.task}", f"a model for {task}", "name one that was trained for it")
    sizes = segmenter.grid.voxel_size_mm, card.grid.voxel_size_mm
    if abs(sizes[0] - sizes[1]) > SIZE_TOLERANCE_MM:
        found = f"voxels of {sizes[1]:g} mm beside a segmentation at {sizes[0]:g} mm"
        raise card.fault(found, "one grid for both", "train it anew")
    if task == "parcellation":
        segmenter.labels.cortex_channels()
    elif not segmenter.labels.qc_groups or max(segmenter.labels.qc_groups) >= len(card.labels):
        raise ModelError(
            segmenter.labels.name,
            found="no groups for quality scores"
            if not segmenter.labels.qc_groups
            else "more groups than the model has",
            expected=f"a column qc_group with groups 0 to {len(card.labels) - 1}",
            remedy="add the column to the label table beside the card",
        )


def _write(card: ModelCard, found: FoundWeights) -> None:
    """Write a model folder, its card last."""
    folder = card.source.parent
    target = folder / Path(card.weights.file).name
    with atomic_path(target) as temporary:
        shutil.copyfile(found.path, temporary)
    write_text(folder / TABLE, card.labels.to_tsv())
    weights = replace(card.weights, file=target.name, size_bytes=target.stat().st_size, sha256=found.sha256)
    write_text(card.source, card_text(replace(card, weights=weights), TABLE))
