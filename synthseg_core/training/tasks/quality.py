"""Task ``quality``: Dice of groups of structures, predicted from what a segmentation model answers alone.

References
----------
Billot et al., Robust machine learning segmentation for large-scale analysis of heterogeneous clinical brain MRI
datasets, PNAS 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthseg_core.errors import GeometryError, UsageError
from synthseg_core.images.pairs import Case, listed
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import InferenceSpec, ModelCard
from synthseg_core.models.loading import LoadedModel, load_models
from synthseg_core.models.registry import SIZE_TOLERANCE_MM, load_card
from synthseg_core.networks.config import RegressorConfig, architecture_of
from synthseg_core.segmentation.quality import box_edge_voxels, groups_of_channels
from synthseg_core.synth.cornucopia import Generator, generator_of, require_cornucopia
from synthseg_core.synth.randomness import chance, generator, sample_seed, spread
from synthseg_core.system.file_identity import sha256_of
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.settings import to_content
from synthseg_core.training.experiment import Experiment, PairSpec
from synthseg_core.training.export import METHOD, ModelKind, ModelPlan
from synthseg_core.training.losses import one_hot
from synthseg_core.training.prepare import Inputs, Prepared, made_of, read_maps_of, sample_voxel_size_mm
from synthseg_core.training.quality_pairs import (
    Judge,
    KeptPairs,
    MakePair,
    Pair,
    PairMaker,
    RealPairMaker,
    digest_of,
    group_dice,
)
from synthseg_core.training.quality_validation import MEASURE, PairValidation, ScorePicture
from synthseg_core.training.quality_variation import varied
from synthseg_core.training.samples import require_fit

PAIRS = "pairs"
"""Folder of a training in which pairs are kept."""
KIND = ModelKind(
    task="quality",
    role="regressor",
    prefix="qc",
    title="predicted Dice of {count} groups of structures, trained on synthetic scans",
    inference=InferenceSpec(False, 0.0, "none", False),
    citation=(
        METHOD,
        "Billot et al., Robust machine learning segmentation for large-scale analysis of heterogeneous clinical brain "
        "MRI datasets, PNAS 2023",
    ),
    use="synthseg models combine MODEL --quality {card} --out DIR",
)
"""What a network for quality becomes: the companion of a segmentation model."""
_PUBLISHED, _PUBLISHED_GROUPS = ("segmentation_2.0", "segmentation_1.0"), "qc_2.0"
# Streams of a sample's seed.
_VARIATION, _CHOICE = 1, 2


def prepare(
    experiment: Experiment, inputs: Inputs, device: torch.device, progress: OnProgress | None = None
) -> Prepared:
    """Make a training for quality scores ready; see :func:`synthseg_core.training.tasks.prepare`.

    Raises
    ------
    SynthSegError
        If the model that is judged has no groups for scores, knows structures that the label maps lack, or works at
        another voxel size than that of the samples; or the network is no regressor.
    """
    if not isinstance(experiment.training.network, RegressorConfig):
        raise UsageError(
            "training: network",
            found=f"the architecture {architecture_of(experiment.training.network)} for the task quality",
            expected="regressor",
            remedy="start from the preset quality, quality_2mm or tiny_quality",
        )
    if inputs.backend == "cornucopia":
        require_cornucopia()
    card = load_card(inputs.models["segmenter"])
    true_groups = groups_of_targets(inputs.maps.labels, card)
    cases = listed(Path(experiment.scans.table)) if experiment.scans.table else ()
    model = load_models(card, device=device).segmentation
    return _prepared(experiment, inputs, _Judged(model, true_groups, cases), device, progress)


def _prepared(
    experiment: Experiment, inputs: Inputs, judged: _Judged, device: torch.device, progress: OnProgress | None
) -> Prepared:
    given, training, settings = inputs.maps, experiment.training, experiment.validation
    table = groups_table(judged.model.card.labels)
    config = replace(training, network=replace(training.network, in_channels=len(table), out_channels=len(table)))
    edge = box_edge_voxels(judged.voxel_size_mm, config.network.halvings)

    def pairs(paths: Sequence[Path], shown: OnProgress | None, *, fast: bool) -> tuple[Generator, PairMaker, str]:
        maps = read_maps_of(paths, given, experiment.recipe, shown)
        require_size(sample_voxel_size_mm(maps, experiment.recipe), judged.model.card)
        scans = generator_of(inputs.backend, maps.to(device), experiment.recipe)
        facts = {**made_of(scans, given), "segmenter": judged.facts, "fast": fast, "edge": edge}
        return scans, PairMaker(scans, judged.true_groups, Judge(judged.model, edge, fast=fast)), digest_of(facts)

    scans, make, digest = pairs(given.maps, progress, fast=experiment.pairs.fast)
    kept = partial(_kept, inputs.folder)
    real, of_real = _real_pairs(experiment, inputs, judged, edge)
    source = PairSource(
        kept(make, digest) if experiment.pairs.kept else make,
        experiment.pairs,
        judged.voxel_size_mm,
        training.seed,
        real=real,
    )
    images, scores = source.batch([sample_seed(training.seed, 0)])
    require_fit(images, scores, config, device)
    validation = None
    if settings.draws:
        _, make, digest = pairs(given.held_out or given.maps, None, fast=False)
        seeds = range(settings.seed, settings.seed + settings.draws)
        validation = PairValidation(kept(make, digest), seeds, precision=config.precision)
    return Prepared(
        config=config,
        source=source,
        validate=validation,
        data={**made_of(scans, given), "segmenter": judged.facts, "pairs": to_content(experiment.pairs), **of_real},
        model=ModelPlan(table, judged.voxel_size_mm, KIND),
        sample_shape=(edge, edge, edge),
        labels_name=Path(given.labels.source).stem,
        picture=ScorePicture(table.names, validation),
        measure=MEASURE,
    )


def _real_pairs(
    experiment: Experiment, inputs: Inputs, judged: _Judged, edge: int
) -> tuple[RealPairs | None, dict[str, Any]]:
    """Return what makes pairs of real scans, if there are any, and what a training says of them."""
    if not judged.cases:
        return None, {}
    given, fast = inputs.maps, experiment.pairs.fast
    places = [given.labels.target_values.index(value) for value in given.labels.outputs]
    judge = Judge(judged.model, edge, fast=fast)
    make = RealPairMaker(judged.cases, given.labels, judged.true_groups[places], judge, given.unknown)
    scans = [[sha256_of(case.images[0][1]), sha256_of(case.label_map)] for case in judged.cases]
    labels = {"values": given.labels.values, "outputs": given.labels.outputs, "unknown": given.unknown}
    digest = digest_of({"scans": scans, "labels": labels, "segmenter": judged.facts, "fast": fast, "edge": edge})
    names = [case.images[0][0] for case in judged.cases]
    pairs = RealPairs(_kept(inputs.folder, make, digest), len(names), experiment.scans.share)
    return pairs, {"scans": {"share": experiment.scans.share, "names": names, "pairs": digest}}


@dataclass(frozen=True)
class _Judged:
    """The model whose answers are judged, the group of each class of synthetic scans, and the real scans."""

    model: LoadedModel
    true_groups: NDArray[np.uint8]
    cases: tuple[Case, ...] = ()

    @property
    def voxel_size_mm(self) -> float:
        return self.model.card.grid.voxel_size_mm

    @property
    def facts(self) -> dict[str, Any]:
        return {"model": self.model.card.name, "weights_sha256": self.model.weights.sha256}


@dataclass(frozen=True)
class RealPairs:
    """Pairs of real scans.

    Parameters
    ----------
    make
        Takes the number of a scan.
    count
        How many scans there are.
    share
        Share of samples that show one of them.
    """

    make: MakePair
    count: int
    share: float


class PairSource:
    """Samples for a quality network: one-hot groups that were predicted, and their Dice.

    Parameters
    ----------
    pair
        Makes pairs, or takes them from where they are kept.
    spec
        How many there are, and how they are varied.
    voxel_size_mm
        Edge of their voxels.
    seed
        Of the training; those of kept pairs follow from it.
    real
        Pairs of real scans; ``None``: there are none.
    """

    def __init__(
        self, pair: MakePair, spec: PairSpec, voxel_size_mm: float, seed: int = 0, *, real: RealPairs | None = None
    ) -> None:
        self._pair = pair
        self._real = real
        self._spec = spec
        self._voxel_size_mm = voxel_size_mm
        self._seed = seed

    def batch(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images (B, G, E, E, E) and scores (B, G), float32; the same seeds give the same samples."""
        samples = []
        for seed in seeds:
            pair, spec = self._pair_of(seed)
            rng = np.random.default_rng(spread(seed, _VARIATION))
            samples.append(varied(pair, spec, self._voxel_size_mm, rng))
        scores = np.stack([group_dice(pair) for pair in samples])
        predicted = torch.from_numpy(np.stack([pair.predicted for pair in samples]))
        return one_hot(predicted, scores.shape[1]), torch.from_numpy(scores).float()

    def _pair_of(self, seed: int) -> tuple[Pair, PairSpec]:
        """Return the pair that a sample shows, and how it is varied: what is shown again is mirrored."""
        real, spec = self._real, self._spec
        if real is not None and chance(real.share, generator(spread(seed, _CHOICE))):
            return real.make(seed % real.count), replace(spec, kept=spec.kept or real.count)
        return self._pair(sample_seed(self._seed, seed % spec.kept) if spec.kept else seed), spec


def groups_of_targets(labels: GenerationLabels, card: ModelCard) -> NDArray[np.uint8]:
    """Return the group of each target value of a label list, (T,), as the table of a segmentation model has it.

    Raises
    ------
    SynthSegError
        If the model has no groups, or scores structures that are no targets of the list.
    """
    group_of = dict(zip(card.labels.labels, groups_of_channels(card.labels).tolist(), strict=True))
    if missing := [value for value, group in group_of.items() if group and value not in labels.target_values]:
        raise UsageError(
            "--segmenter",
            found=f"{card.name}, which segments {', '.join(map(str, missing[:8]))}",
            expected=f"structures that are targets of {labels.source}",
            remedy="choose the label list and the output column that the model was trained with",
        )
    return np.array([group_of.get(value, 0) for value in labels.target_values], np.uint8)


def groups_table(labels: LabelTable) -> LabelTable:
    """Return what the groups of a segmentation's label table mean: the published eight, or others by their members."""
    for name in _PUBLISHED:
        published = LabelTable.builtin(name)
        if (published.labels, published.qc_groups) == (labels.labels, labels.qc_groups):
            return LabelTable.builtin(_PUBLISHED_GROUPS)
    numbers = tuple(range(max(labels.qc_groups) + 1))
    return LabelTable(
        name=labels.name,
        labels=numbers,
        names=("background", *(_group_name(labels, number) for number in numbers[1:])),
        sides=("neutral",) * len(numbers),
        counterparts=numbers,
    )


def _group_name(labels: LabelTable, group: int) -> str:
    names = [name for name, own in zip(labels.names, labels.qc_groups, strict=True) if own == group]
    words = list(dict.fromkeys(name.removeprefix("left ").removeprefix("right ") for name in names))
    return "+".join(words) if 0 < len(words) <= 2 else f"group {group}"


def require_size(voxel_size_mm: float, card: ModelCard) -> None:
    """Refuse samples of another voxel size than that at which a model works."""
    wanted = card.grid.voxel_size_mm
    if abs(voxel_size_mm - wanted) > SIZE_TOLERANCE_MM:
        raise GeometryError(
            "label maps",
            found=f"samples of {voxel_size_mm:g} mm",
            expected=f"{wanted:g} mm, at which {card.name} works",
            remedy="set recipe: map_step or target_voxel_size_mm",
        )


def _kept(folder: Path | None, make: MakePair, digest: str) -> MakePair:
    return make if folder is None else KeptPairs(make, folder / PAIRS / digest)
