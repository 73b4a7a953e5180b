"""Task ``parcellation``: parcels of the cortex, given image and cortex; from label maps whose cortex has parcels.

No training of this network was published. It is given what prediction gives it, the image, everything but the cortex,
and the cortex; in training the cortex is that of the labels, deformed and frayed as the tissue groups of the robust
chain's last network are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import torch

from synthseg_core.errors import InputError
from synthseg_core.labels.lists import GenerationLabels, values_text
from synthseg_core.models.card import InferenceSpec
from synthseg_core.synth.cornucopia import CornucopiaGenerator
from synthseg_core.synth.generator import BrainGenerator
from synthseg_core.synth.recipe import GroupChannelsSpec
from synthseg_core.system.progress import OnProgress
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.export import METHOD, ModelKind, ModelPlan
from synthseg_core.training.prepare import Inputs, Prepared, prepared_from_maps
from synthseg_core.training.samples import Source
from synthseg_core.training.targets import target_table
from synthseg_core.training.tasks.robust import CHAIN_PAPER

_KIND = ModelKind(
    task="parcellation",
    role="parcellator",
    prefix="unet_parc",
    title="{count} parcels of the cortex, trained on synthetic scans",
    inference=InferenceSpec(flip_average=False, clean_up="none", total_intracranial=False),
    citation=(METHOD, CHAIN_PAPER),
    use="synthseg models combine SEGMENTER --parcellation {card} --out FOLDER",
)


def prepare(
    experiment: Experiment, inputs: Inputs, device: torch.device, progress: OnProgress | None = None
) -> Prepared:
    """Make a training for parcels ready; see :func:`synthseg_core.training.tasks.prepare`.

    Raises
    ------
    InputError
        If the label list has no parcels for its target, or a map shows none.
    """
    labels = with_cortex(inputs.maps.labels)
    recipe = experiment.recipe
    if recipe.group_channels is None:
        recipe = replace(recipe, group_channels=GroupChannelsSpec())
    inputs = replace(inputs, maps=replace(inputs.maps, labels=labels))
    table = target_table(labels)
    prepared = prepared_from_maps(replace(experiment, recipe=recipe), inputs, table, device, progress)
    _require_shown(prepared.source, labels)
    model = ModelPlan(table, prepared.model.voxel_size_mm, _KIND)
    return replace(prepared, model=model, data={**prepared.data, "task": "parcellation"})


def with_cortex(labels: GenerationLabels) -> GenerationLabels:
    """Return a label list whose tissue groups are everything but the cortex, and the cortex: what becomes a parcel.

    Raises
    ------
    InputError
        If fewer than two targets are parcels: there is nothing to divide.
    """
    parcels = Counter(output for output in labels.outputs if output)
    if len(parcels) < 2:
        raise InputError(
            labels.source,
            found=f"{len(parcels)} parcels among the targets of column {_column(labels)}",
            expected="two and more: a target for each parcel of the cortex, 0 for all other labels",
            remedy="give --labels a list whose column output has parcels, for label maps that show them",
        )
    return replace(labels, groups=tuple(int(output > 0) for output in labels.outputs))


def _require_shown(source: Source, labels: GenerationLabels) -> None:
    """Refuse maps of which none shows some parcel: what no sample has cannot be learned."""
    assert isinstance(source, BrainGenerator | CornucopiaGenerator)
    counts = [torch.bincount(one.flatten().int()) for one in source.maps.indices]
    shown = {labels.outputs[position] for one in counts for position in one.nonzero().flatten().tolist()}
    if missing := sorted(set(labels.outputs) - shown):
        raise InputError(
            "label maps",
            found=f"{len(missing)} parcels that none of them shows ({values_text(missing)})",
            expected=f"each of the {len(set(labels.outputs) - {0})} parcels of {labels.source} in one of them at least",
            remedy="give maps with parcels, or take these out of the label list",
        )


def _column(labels: GenerationLabels) -> str:
    return labels.columns[1] if labels.columns else "output"
