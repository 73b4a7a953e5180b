"""How well a quality model predicts Dice: scores against truth on pairs of held-out label maps, as in prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core.labels.table import LabelTable
from synthseg_core.models.loading import LoadedModel
from synthseg_core.segmentation.quality import box_edge_of, groups_of_channels, raw_scores
from synthseg_core.synth.generator import BrainGenerator
from synthseg_core.synth.maps import LabelMaps
from synthseg_core.synth.recipe import Recipe
from synthseg_core.system.atomic import write_json, write_text
from synthseg_core.system.settings import to_content
from synthseg_core.system.tables import format_tsv
from synthseg_core.training.experiment import PairSpec
from synthseg_core.training.prepare import sample_voxel_size_mm
from synthseg_core.training.quality_pairs import Judge, KeptPairs, MakePair, PairMaker, digest_of, group_dice
from synthseg_core.training.quality_validation import Agreement
from synthseg_core.training.quality_variation import varied
from synthseg_core.training.tasks.quality import groups_of_targets, require_size

COLUMNS = ("set", "pair", "group", "name", "predicted", "true")
TABLE_NAME, SUMMARY_NAME = "quality.tsv", "quality.json"
# Faults and partial views as frequent as in training, so that the pairs spread over all scores.
FAULTY = PairSpec(kept=1, fault_probability=0.4)


@dataclass(frozen=True)
class Judges:
    """A quality model, and the segmentation model whose answers it judges."""

    quality: LoadedModel
    segmenter: LoadedModel


def held_out_pairs(models: Judges, maps: LabelMaps, recipe: Recipe, cache: Path | None = None) -> MakePair:
    """Return what makes pairs of held-out label maps.

    Parameters
    ----------
    models
        That belong together.
    maps
        Held-out label maps.
    recipe
        What the scans look like.
    cache
        Folder in which pairs are kept for the next quality model of this segmentation model; ``None``: nowhere.

    Raises
    ------
    SynthSegError
        If the models, or models and label maps, do not belong together.
    """
    groups_of_channels(models.segmenter.card.labels, len(models.quality.card.labels))
    for model in (models.segmenter, models.quality):
        require_size(sample_voxel_size_mm(maps, recipe), model.card)
    groups, edge = groups_of_targets(maps.labels, models.segmenter.card), box_edge_of(models.quality.card)
    make = PairMaker(BrainGenerator(maps, recipe), groups, Judge(models.segmenter, edge))
    if cache is None:
        return make
    facts = {
        "recipe": to_content(recipe),
        "maps": list(maps.names),
        "targets": list(maps.labels.outputs),
        "weights_sha256": models.segmenter.weights.sha256,
        "edge": edge,
    }
    return KeptPairs(make, cache / digest_of(facts))


def agreement(
    model: LoadedModel, make: MakePair, seeds: Sequence[int], shown: Callable[[str], None] = lambda _: None
) -> Agreement:
    """Score pairs as prediction does.

    Parameters
    ----------
    model
        For quality.
    make
        Makes pairs.
    seeds
        One per pair.
    shown
        Called with a line about each pair.
    """
    columns = []
    for number, seed in enumerate(seeds):
        pair = make(seed)
        predicted, true = np.clip(raw_scores(model, pair.predicted).astype(np.float64), 0, 1), group_dice(pair)
        columns.append((predicted, true))
        shown(f"pair {number}: {predicted[1:].mean():.3f} predicted, {true[1:].mean():.3f} true")
    return Agreement(*(np.stack(parts, axis=1) for parts in zip(*columns, strict=True)))


def with_faults(make: MakePair, voxel_size_mm: float) -> MakePair:
    """Return what makes the same pairs with faults of the prediction and partial views added: always the same ones."""
    return lambda seed: varied(make(seed), FAULTY, voxel_size_mm, np.random.default_rng(seed))


def summary(found: Agreement, table: LabelTable) -> dict[str, Any]:
    """Return the figures of a set of pairs as plain values; what there is not is ``None``."""
    rows = zip(table.names, found.absolute_error, found.spearman, found.true, strict=True)
    groups = {
        name: {"mean_absolute_error": _rounded(error), "spearman": _rounded(rank), "dice": _rounded(float(dice.mean()))}
        for name, error, rank, dice in rows
    }
    return {
        "mean_absolute_error": _rounded(found.mean_absolute_error),
        "spearman": _rounded(found.mean_spearman),
        "pairs": found.true.shape[1],
        "groups": {name: figures for name, figures in groups.items() if name != table.names[0]},
    }


def write_quality_report(
    folder: Path, sets: Mapping[str, Agreement], table: LabelTable, facts: Mapping[str, Any]
) -> None:
    """Write ``quality.tsv``, a row for each group of each pair, and ``quality.json``, which starts with ``facts``.

    Parameters
    ----------
    folder
        Where they go.
    sets
        Scores by name of the set of pairs.
    table
        Groups.
    facts
        About models and pairs.
    """
    rows = (
        {
            "set": name,
            "pair": pair,
            "group": table.labels[group],
            "name": table.names[group],
            "predicted": f"{found.predicted[group, pair]:.4f}",
            "true": f"{found.true[group, pair]:.4f}",
        }
        for name, found in sets.items()
        for pair in range(found.true.shape[1])
        for group in range(1, len(table))
    )
    write_text(folder / TABLE_NAME, format_tsv(rows, COLUMNS))
    write_json(folder / SUMMARY_NAME, {**facts, **{name: summary(found, table) for name, found in sets.items()}})


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
