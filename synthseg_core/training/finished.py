"""Export what a training folder holds: its best weights, or else its last average, with the facts of the training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core.errors import InputError
from synthseg_core.labels.table import LabelTable
from synthseg_core.networks.config import UNetConfig
from synthseg_core.networks.unet import UNet
from synthseg_core.system.tables import read_tsv
from synthseg_core.training.checkpoint import BEST, read_checkpoint
from synthseg_core.training.export import export_model, trained_card
from synthseg_core.training.log import LOG
from synthseg_core.training.start import read_weights

MODEL_FOLDER = "model"
# What a card keeps of the configuration; the rest says where and how often something is written.
_OMITTED = ("network", "intervals", "device", "budget_s")
_LAST_SHARE = 0.05


def export_run(
    folder: Path,
    name: str,
    labels: LabelTable,
    *,
    voxel_size_mm: float = 1.0,
    facts: Mapping[str, Any] | None = None,
    half: bool = True,
) -> Path:
    """Write ``folder/model``: card, label table and weights of a training, also of one that still runs.

    Parameters
    ----------
    folder
        Of the training.
    name, labels, voxel_size_mm
        As for :func:`~synthseg_core.training.export.trained_card`.
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
    network = _network(content["training"]["network"])
    state = read_weights(folder, UNet(network))
    training = {**content.get("data", {}), **_facts(folder, content["training"]), **(facts or {})}
    card = trained_card(folder / MODEL_FOLDER, name, labels, network, voxel_size_mm, training)
    return export_model(card, state, half=half)


def _configuration(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["training"]["network"]["features"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path,
            found=f"no configuration of a training ({error})",
            expected="the file that 'synthseg train' wrote",
            remedy="give the folder of a training",
        ) from error
    return content


def _network(values: Mapping[str, Any]) -> UNetConfig:
    network = UNetConfig(**values)
    return network if network.skips is None else replace(network, skips=tuple(network.skips))


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
