"""A trained network becomes a model folder: card, label table and weights, usable at once with ``--model CARD``.

Export what a training folder holds: its best weights, or else its last average, with the facts of the training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthseg_core import __version__
from synthseg_core.errors import InputError, WeightsError
from synthseg_core.images.affines import Shape3
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.arrays import model_bytes
from synthseg_core.models.card import GridSpec, InferenceSpec, ModelCard, ScoutSpec, WeightsFile
from synthseg_core.models.card_file import card_text
from synthseg_core.models.families import family_of
from synthseg_core.networks.arrays import Arrays
from synthseg_core.networks.building import network_of
from synthseg_core.networks.config import NetworkConfig, NetworkSpec
from synthseg_core.system.atomic import write_bytes, write_text
from synthseg_core.system.settings import read_mapping
from synthseg_core.system.tables import read_tsv
from synthseg_core.training.checkpoint import BEST, CONFIG, read_checkpoint
from synthseg_core.training.config import network_from
from synthseg_core.training.log import LOG
from synthseg_core.training.start import read_weights

# The method that networks are trained with here, to be cited with their results.
METHOD = (
    "Billot et al., SynthSeg: segmentation of brain MRI scans of any contrast and resolution without retraining, "
    "Medical Image Analysis 2023"
)
CARD_NAME, TABLE_NAME, WEIGHTS_NAME = "card.yaml", "labels.tsv", "weights.safetensors"

# Edge of the smallest field of view that the published networks are given.
_MINIMUM_EDGE_MM = 128
# Label maps are wanted at 1 mm, whatever the network works at.
_ANSWER_MM = 1.0


@dataclass(frozen=True)
class ModelKind:
    """What sort of model a trained network becomes.

    Parameters
    ----------
    task, role, prefix
        Of the model and of its network, as cards have them.
    title
        In words; ``{count}`` stands for the number of structures.
    inference
        How posteriors are made from the network's answers; ``None``: flip averaging, and clean-up as the table allows.
    citation
        Papers to cite.
    use
        Command that takes the model; ``{card}`` stands for its card.
    earlier
        Networks that run before the trained one, in order.
    """

    task: str = "segmentation"
    role: str = "segmenter"
    prefix: str = "unet"
    title: str = "{count} structures, trained on synthetic scans"
    inference: InferenceSpec | None = None
    citation: tuple[str, ...] = (METHOD,)
    use: str = "synthseg segment SCAN --dseg DSEG --model {card}"
    earlier: tuple[NetworkSpec, ...] = ()


@dataclass(frozen=True)
class ModelPlan:
    """What a trained network becomes.

    Parameters
    ----------
    table
        What its output channels mean.
    voxel_size_mm
        Of the samples that it is trained on.
    kind
        What sort of model.
    earlier
        Arrays of the networks that run before it, in order.
    window_voxels
        Of the patches that it is trained on, where its family predicts in such windows.
    scout
        What finds the brain for it; ``None``: it is given whole scans.
    minimum_voxels
        Every axis is to be padded to at least this; what norms over the sample are used to.
    total_of
        Labels whose sum is the intracranial volume; ``None``: all of them.
    """

    table: LabelTable
    voxel_size_mm: float = 1.0
    kind: ModelKind = field(default_factory=ModelKind)
    earlier: Sequence[Arrays] = ()
    window_voxels: Shape3 | None = None
    scout: ScoutSpec | None = None
    minimum_voxels: int = 1
    total_of: tuple[int, ...] | None = None


def trained_card(
    folder: Path,
    name: str,
    plan: ModelPlan,
    network: NetworkConfig,
    training: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Return the card of a network trained here; change what should be different with :func:`dataclasses.replace`.

    Parameters
    ----------
    folder
        The model folder that :func:`export_model` shall write.
    name
        Of the model.
    plan
        What the network becomes; one coarser than 1 mm answers at 1 mm.
    network
        Its shape.
    training
        Data, recipe, command, hardware, steps, hours, loss; plain values. The version of this program is added.
    """
    kind, labels, voxel_size_mm = plan.kind, plan.table, plan.voxel_size_mm
    networks = (*kind.earlier, NetworkSpec(kind.role, kind.prefix, network))
    divisor = 2 ** max(spec.config.halvings for spec in networks)
    minimum = divisor * ceil(max(_MINIMUM_EDGE_MM / voxel_size_mm, plan.minimum_voxels) / divisor)
    inference = kind.inference or InferenceSpec(clean_up="topology" if labels.topology_classes else "none")
    answer_mm = _ANSWER_MM if voxel_size_mm > _ANSWER_MM and kind.task != "quality" else None
    return ModelCard(
        name=name,
        title=f"{name}: {kind.title.format(count=len(labels) - 1)}",
        family=family_of(network),
        task=kind.task,
        networks=networks,
        labels=labels,
        weights=WeightsFile(WEIGHTS_NAME),
        source=folder / CARD_NAME,
        grid=GridSpec(voxel_size_mm, divisor, minimum, answer_mm),
        inference=replace(inference, window_voxels=plan.window_voxels, total_of=plan.total_of),
        scout=plan.scout,
        citation=kind.citation,
        training={"version": __version__, **(training or {})},
    )


def export_model(
    card: ModelCard, state: Mapping[str, Tensor], *, earlier: Sequence[Arrays] = (), half: bool = True
) -> Path:
    """Write a model folder; the same card and state give the same bytes.

    The card is written last: a folder whose writing was cut off has no card, or one whose checksum does not fit.

    Parameters
    ----------
    card
        For instance from :func:`trained_card`; its ``source`` is the card file to write. Size and checksum of the
        weights are filled in.
    state
        ``state_dict`` of the card's last network, on any device, of any floating type.
    earlier
        Arrays of the networks before it, in the order of the card.
    half
        Store 16-bit floats: half the size, three significant digits.

    Returns
    -------
    Path
        The card.

    Raises
    ------
    WeightsError
        If arrays are missing, have another shape, or hold values that cannot be stored.
    """
    every = [*earlier, _arrays(card, card.networks[-1], state)]
    arrays = {
        f"{spec.prefix}.{name}": array
        for spec, own in zip(card.networks, every, strict=True)
        for name, array in own.items()
    }
    content = model_bytes(arrays, {"model": card.name, "version": __version__}, half=half)
    weights = replace(card.weights, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    folder = card.source.parent
    write_text(folder / TABLE_NAME, card.labels.to_tsv())
    write_bytes(folder / weights.file, content)
    write_text(card.source, card_text(replace(card, weights=weights), TABLE_NAME))
    return card.source


def _arrays(card: ModelCard, spec: NetworkSpec, state: Mapping[str, Tensor]) -> Arrays:
    """Return the network's arrays, float32, without counters; refuse a state of another network."""
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in network_of(spec.config).state_dict().items() if value.ndim}
    wrong = [name for name, shape in wanted.items() if name not in state or state[name].shape != shape]
    if wrong:
        raise WeightsError(
            card.source,
            found=f"a state with {len(wrong)} arrays missing or of another shape, first {wrong[0]}",
            expected=f"the {len(wanted)} arrays of the network",
            remedy="export with the configuration that the network was trained with",
        )
    return {name: state[name].detach().to("cpu", torch.float32).numpy() for name in wanted}


MODEL_FOLDER = "model"
# What a card keeps of the configuration; the rest says where and how often something is written.
_OMITTED = ("network", "intervals", "device", "budget_s")
_LAST_SHARE = 0.05


def export_run(
    folder: Path,
    name: str,
    plan: ModelPlan,
    *,
    facts: Mapping[str, Any] | None = None,
    half: bool = True,
) -> Path:
    """Write ``folder/model``: card, label table and weights of a training, also of one that still runs.

    Parameters
    ----------
    folder
        Of the training.
    name
        Of the model.
    plan
        What the network becomes.
    facts
        What only the caller knows, for instance data, recipe, command, hardware; the folder's own words give way.
    half
        Store 16-bit floats.

    Returns
    -------
    Path
        The card.

    Raises
    ------
    InputError
        If the folder is not that of a training.
    WeightsError
        If there are no weights in it yet.
    """
    content = _configuration(folder)
    network = network_from(content["training"]["network"], str(folder / CONFIG))
    state = read_weights(folder, network)
    training = {**content.get("data", {}), **_facts(folder, content["training"]), **(facts or {})}
    card = trained_card(folder / MODEL_FOLDER, name, plan, network, training)
    return export_model(card, state, earlier=plan.earlier, half=half)


def _configuration(folder: Path) -> dict[str, Any]:
    path, expected, remedy = folder / CONFIG, "the file that 'synthseg train' wrote", "give the folder of one"
    content = read_mapping(path, "configuration of a training", remedy)
    try:
        content["training"]["network"]["features"]
    except (KeyError, TypeError) as error:
        found = f"no configuration of a training ({error})"
        raise InputError(path, found=found, expected=expected, remedy=remedy) from error
    return content


def _facts(folder: Path, training: Mapping[str, Any]) -> dict[str, Any]:
    """Return steps, hours and loss up to the weights that are exported."""
    rows = read_tsv(folder / LOG, required=("step", "stage", "loss", "seconds"))
    best = int(read_checkpoint(folder / BEST)["step"]) if (folder / BEST).is_file() else None
    rows = [row for row in rows if best is None or int(row["step"]) <= best]
    if not rows:
        return {"settings": _settings(training)}
    last = rows[-max(1, round(_LAST_SHARE * len(rows))) :]
    return {
        "steps": best or int(rows[-1]["step"]),
        "hours": round(float(rows[-1]["seconds"]) / 3600, 2),
        "loss": {"last": round(float(np.mean([float(row["loss"]) for row in last])), 4), "stages": training["stages"]},
        "settings": _settings(training),
    }


def _settings(training: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in training.items() if key not in (*_OMITTED, "stages") and value is not None}
