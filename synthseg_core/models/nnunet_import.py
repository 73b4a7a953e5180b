"""Make a model of ours from a trained nnU-Net v2 folder: a card, a label table, and the folds in one safetensors file.

Checkpoints are Python pickles. They are opened by torch's restricted reader, which knows tensors, plain values and the
few names below, and nothing that could run.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core.multiarray import scalar

from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.affines import Size3
from synthseg_core.models.arrays import stream_safetensors
from synthseg_core.models.card import GridSpec, InferenceSpec, ModelCard, WeightsFile
from synthseg_core.models.card_file import card_text
from synthseg_core.models.nnunet_folder import NnUNetFolder
from synthseg_core.models.nnunet_plan import NnUNetPlan
from synthseg_core.models.registry import DEFAULT_MODEL, registered_models
from synthseg_core.models.torch_file import RefusedCheckpointError, open_checkpoint, unwrapped
from synthseg_core.networks.arrays import Arrays, array_shapes
from synthseg_core.networks.config import NetworkSpec, NnUNetConfig
from synthseg_core.system.atomic import write_text
from synthseg_core.system.file_identity import sha256_of

# What all cards of these models say.
_FIXED: dict[str, Any] = {
    "family": "nnunet-resenc",
    "task": "segmentation",
    "inference": InferenceSpec(False, 0.0, "none", False),
}
# Numbers of NumPy 1 and 2 in the log of a training.
_HARMLESS: list[Any] = [
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    (scalar, "numpy._core.multiarray.scalar"),
    (scalar, "numpy.core.multiarray.scalar"),
]
_DEFAULT_CONFIGURATION = "3d_fullres"


def import_nnunet(
    folder: Path,
    store: Path,
    *,
    name: str | None = None,
    template: ModelCard | None = None,
    folds: Sequence[int] | None = None,
    orientation: str | None = None,
) -> Path:
    """Convert a folder once; returns the card, which stands beside the weights and the label table.

    Parameters
    ----------
    folder
        Holds ``plans.json``, ``dataset.json`` and ``fold_*/checkpoint_final.pth``.
    store
        Where the three files go.
    name
        Of the model; ``None``: that of the template, or else of the folder.
    template
        Card of a known model that the folder belongs to: title, meaning of the labels, sums and citations are its.
    folds
        Which ones to take; ``None``: all that are finished.
    orientation
        What the network sees: ``stored`` or ``RAS``; ``None``: as the template, or as stored.

    Raises
    ------
    InputError
        If something in the folder is missing, damaged, or of another kind than nnU-Net's.
    OutputError
        If the store cannot be written.
    """
    name = name or (template.name if template else folder.resolve().name)
    _check_name(name, template)
    source = NnUNetFolder.read(folder)
    checkpoints = _chosen(source, folds)
    configuration = _configuration(next(iter(checkpoints.values())))
    if orientation is None:
        orientation = template.plan.orientation if template is not None and template.plan is not None else "stored"
    config, plan = source.network(configuration), source.plan(configuration, orientation)
    specs = tuple(NetworkSpec(f"fold {fold}", f"fold_{fold}", config) for fold in checkpoints)
    arrays = (fold_arrays(path, config) for path in checkpoints.values())
    weights = store / f"{name}.safetensors"
    stream_safetensors(weights, specs, arrays, {"model": name, "configuration": configuration})
    card = _card(name, source, specs, plan, weights)
    if template is not None:
        card = _like(card, template)
    write_text(store / f"{name}.tsv", card.labels.to_tsv())
    write_text(card.source, card_text(card, f"{name}.tsv"))
    return card.source


def _card(
    name: str, source: NnUNetFolder, specs: tuple[NetworkSpec, ...], plan: NnUNetPlan, weights: Path
) -> ModelCard:
    """Return a card that says what the folder says."""
    return ModelCard(
        name=name,
        title=f"nnU-Net {source.plans.get('dataset_name', name)}, {len(source.labels()) - 1} labels",
        **_FIXED,
        networks=specs,
        labels=source.label_table(),
        weights=WeightsFile(weights.name, weights.stat().st_size, sha256_of(weights)),
        source=weights.with_name(f"{name}.yaml"),
        grid=GridSpec(mean_edge_mm(plan.spacing_mm), 1, 1),
        plan=plan,
    )


def _check_name(name: str, template: ModelCard | None) -> None:
    """Refuse names that mean something else: a path, or another model of the package."""
    registered = name in registered_models() and (template is None or template.name != name)
    if registered or name == DEFAULT_MODEL or not re.fullmatch(r"[\w.+-]+", name) or name.startswith("."):
        raise UsageError(
            "--name",
            found=f"{name!r}{', a model of this package' if registered else ''}",
            expected="a name of its own, of letters, digits and . - _",
            remedy="choose one with --name",
        )


def mean_edge_mm(spacing: Size3) -> float:
    """Return the edge of a cube of a voxel's volume, mm."""
    return round(float(np.prod(spacing)) ** (1 / 3), 6)


def _like(card: ModelCard, template: ModelCard) -> ModelCard:
    """Give a card the name and meaning of a known model."""
    if len(card.labels) != len(template.labels):
        raise InputError(
            card.source.stem,
            found=f"a folder with {len(card.labels)} labels",
            expected=f"the {len(template.labels)} of {template.name}",
            remedy="choose the model that the folder belongs to, or none with --name",
        )
    kept = ("title", "labels", "inference", "plausible_total_ml", "citation", "notes")
    meaning = {entry: getattr(template, entry) for entry in kept}
    return replace(card, **meaning, weights=replace(card.weights, licence=template.weights.licence))


def _chosen(source: NnUNetFolder, folds: Sequence[int] | None) -> dict[int, Path]:
    """Return the checkpoints of the folds that are wanted."""
    found = source.checkpoints()
    if not found:
        raise source.fault("no finished fold", "fold_0/checkpoint_final.pth, or more of them")
    if missing := [fold for fold in folds or () if fold not in found]:
        raise source.fault(f"no fold {', '.join(map(str, missing))}", f"some of {', '.join(map(str, found))}")
    return found if folds is None else {fold: found[fold] for fold in sorted(set(folds))}


def _configuration(checkpoint: Path) -> str:
    """Return the configuration that a checkpoint was trained with."""
    arguments = _opened(checkpoint).get("init_args")
    named = arguments.get("configuration") if isinstance(arguments, Mapping) else None
    return str(named or _DEFAULT_CONFIGURATION)


def _opened(checkpoint: Path) -> Mapping[str, Any]:
    """Open a checkpoint; its tensors stay on the disk until they are used."""
    try:
        content = open_checkpoint(checkpoint, _HARMLESS)
    except RefusedCheckpointError as error:
        raise _damaged(checkpoint, str(error)) from error
    if not isinstance(content, Mapping) or not isinstance(content.get("network_weights"), Mapping):
        raise _damaged(checkpoint, "no network_weights")
    return content


def _damaged(checkpoint: Path, found: str) -> InputError:
    return InputError(
        checkpoint,
        found=found,
        expected="checkpoint_final.pth of a finished training of nnU-Net v2",
        remedy="copy or download the folder again",
    )


def fold_arrays(checkpoint: Path, config: NnUNetConfig) -> Arrays:
    """Return the arrays of one fold by our names; whatever is unknown or missing is an error."""
    shapes = array_shapes(config)
    weights = dict(_without_repeats(_opened(checkpoint)["network_weights"], shapes))
    faults = [f"no {key}" for key in shapes if key not in weights]
    faults += [f"an unknown array {key}" for key in weights if key not in shapes]
    faults += [
        f"{key} of shape {tuple(weights[key].shape)} instead of {shape}"
        for key, shape in shapes.items()
        if key in weights and tuple(weights[key].shape) != shape
    ]
    if faults:
        raise _damaged(checkpoint, f"{len(faults)} arrays that the plan does not describe, first {faults[0]}")
    arrays = {key: np.asarray(weights[key].float().numpy()) for key in shapes}
    if broken := [key for key, array in arrays.items() if not np.isfinite(array).all()]:
        raise _damaged(checkpoint, f"values in {broken[0]} that are not finite")
    return arrays


def _without_repeats(weights: Mapping[str, Any], known: Container[str]) -> Iterator[tuple[str, Any]]:
    """Yield each array once: checkpoints name layers twice, the encoder once more, and hold heads for training."""
    for key, array in weights.items():
        name = unwrapped(key)
        is_other_head = name.startswith("decoder.seg_layers.") and name not in known
        if not (".all_modules." in name or name.startswith("decoder.encoder.") or is_other_head):
            yield name, array
