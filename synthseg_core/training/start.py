"""Start a training from given weights: of a checkpoint, a model folder, or a weights file of any format.

First weights of a network: Keras conventions, drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from synthseg_core.errors import WeightsError
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.arrays import load_state
from synthseg_core.models.card_file import read_card
from synthseg_core.models.registry import load_card
from synthseg_core.models.weights import find_weights
from synthseg_core.networks.building import Network, network_of
from synthseg_core.networks.config import NetworkConfig, NetworkSpec, UNetConfig
from synthseg_core.training.checkpoint import BEST, LAST, read_checkpoint

# A network with other classes may begin with the features of this one, and with the classes that both know.
_HEAD = ("head.weight", "head.bias", "final_conv.weight", "final_conv.bias")
# What reads the image, and the block that is new where a network begins to fold.
_FIRST = {"down.0.conv0.weight", "down.0.shortcut.weight"}
_DETAIL = "detail."


@dataclass(frozen=True)
class Taken:
    """What a network took over from given weights.

    Parameters
    ----------
    arrays
        Number of arrays that it took, whole or by classes.
    new
        Names of those that stay as they are: a head for other classes.
    classes
        Number of classes that both know, where a head for other classes took over theirs; 0: it took none, or all.
    """

    arrays: int
    new: tuple[str, ...]
    classes: int = 0


def start_from(net: Network, path: Path, table: LabelTable | None = None) -> Taken:
    """Load weights into a network; a head for other classes takes over those that both know.

    Each of its further classes begins as the background, which it was part of. A network that folds blocks of voxels
    into channels may begin as one that does not: it then sees the mean of a block and answers as that for each voxel.

    Parameters
    ----------
    net
        Takes the weights.
    path
        ``best.pt`` or ``last.pt`` (its average), a training folder, a model card or its folder, safetensors, Keras.
    table
        What the network's classes mean; those of the weights are known by their model card, beside checkpoints too.
        ``None``, or no card: a head for other classes is new.

    Raises
    ------
    WeightsError
        If arrays other than the head, or the block that folding adds, are missing or have another shape.
    """
    found = _folded(read_weights(path, net.config), net.config)
    wanted = {name: value for name, value in net.state_dict().items() if value.ndim}
    unfit = [name for name, value in wanted.items() if name not in found or found[name].shape != value.shape]
    if wrong := [name for name in unfit if name not in _HEAD and not (name.startswith(_DETAIL) and name not in found)]:
        raise WeightsError(
            path,
            found=f"{len(wrong)} arrays missing or of another shape, first {wrong[0]}",
            expected=_shape_text(net.config),
            remedy="set the shape of the network to that of the weights",
        )
    taken = {name: found[name].float() for name in wanted if name not in unfit}
    other_head = any(name in _HEAD for name in unfit)
    rows = _shared_rows(table, _table_behind(Path(path))) if other_head else {}
    if rows:
        order = [rows.get(channel, 0) for channel in range(net.config.out_channels)]
        voxels = net.config.block_voxels if isinstance(net.config, UNetConfig) else 1
        heads = {name: found[name].float().unflatten(0, (voxels, -1)) for name in unfit if name in _HEAD}
        taken |= {name: head[:, order].flatten(0, 1) for name, head in heads.items()}
    net.load_state_dict(taken, strict=False)
    return Taken(len(taken), tuple(name for name in unfit if name not in taken), len(rows))


def _folded(found: Mapping[str, Tensor], config: NetworkConfig) -> Mapping[str, Tensor]:
    """Return the arrays of a network without folding as those of one with it; others as they are.

    Every voxel of a block gets its share of the first kernels, and its own copy of the head, which takes nothing from
    the block that is new.
    """
    if not isinstance(config, UNetConfig) or config.folding == 1 or any(name.startswith(_DETAIL) for name in found):
        return found
    voxels, result = config.block_voxels, dict(found)
    for name in _FIRST & found.keys():
        result[name] = found[name].float().repeat(1, voxels, 1, 1, 1) / voxels
    if "head.weight" in found and "head.bias" in found:
        new = found["head.weight"].new_zeros((len(found["head.bias"]), config.detail_features, 1, 1, 1))
        result["head.weight"] = torch.cat([found["head.weight"], new], dim=1).repeat(voxels, 1, 1, 1, 1)
        result["head.bias"] = found["head.bias"].repeat(voxels)
    return result


def _shared_rows(table: LabelTable | None, before: LabelTable | None) -> dict[int, int]:
    """Return the channel before of channels with the same label and name; nothing if that is the background alone."""
    if table is None or before is None:
        return {}
    known = {pair: channel for channel, pair in enumerate(zip(before.labels, before.names, strict=True))}
    pairs = enumerate(zip(table.labels, table.names, strict=True))
    rows = {channel: known[pair] for channel, pair in pairs if pair in known}
    return rows if len(rows) > 1 else {}


def _table_behind(path: Path) -> LabelTable | None:
    """Return what the classes of given weights mean; ``None`` where no card says it."""
    path = _inside(path) if path.is_dir() else path
    if _is_card(path):
        return load_card(str(path)).labels
    card = path.parent / "model" / "card.yaml"
    return read_card(card).labels if card.is_file() else None


def taken_text(config: NetworkConfig, path: Path, table: LabelTable | None = None) -> str:
    """Return a line about what a training starts with.

    Parameters
    ----------
    config
        Shape of its network.
    path, table
        As for :func:`start_from`, which says what is refused.
    """
    net = network_of(config)
    taken = start_from(net, path, table)
    every = sum(1 for value in net.state_dict().values() if value.ndim)
    new = f"; new: {', '.join(taken.new)}" if taken.new else ""
    shared = (
        f", {taken.classes} of {config.out_channels} classes, the others as the background" if taken.classes else ""
    )
    return f"starting from {path}: {taken.arrays} of {every} arrays{shared}{new}"


def read_weights(path: Path, config: NetworkConfig) -> Mapping[str, Tensor]:
    """Return arrays by torch name from any kind of file, of a network of this shape."""
    path = Path(path)
    if path.is_dir():
        path = _inside(path)
    if path.suffix == ".pt":
        content = read_checkpoint(path)
        average = content.get("average")
        return content["network"] if average is None else average["values"]
    return _read_model(path, config)


def _shape_text(config: NetworkConfig) -> str:
    further = ""
    if isinstance(config, UNetConfig):
        folding = f", folding {config.folding}" if config.folding > 1 else ""
        further = f", with {config.norm} norm{folding}"
    return f"{config.levels} levels from {config.features} features{further}"


def steps_behind(path: Path) -> int | None:
    """Return the steps after which weights were stored; ``None`` if what holds them does not say.

    Parameters
    ----------
    path
        As for :func:`start_from`.
    """
    path = Path(path)
    if path.is_dir():
        path = _inside(path)
    if path.suffix == ".pt":
        steps = read_checkpoint(path).get("step")
    elif _is_card(path):
        steps = load_card(str(path)).training.get("steps")
    else:
        steps = None
    return steps if isinstance(steps, int) else None


def _is_card(path: Path) -> bool:
    """Say whether a path is that of a card, or the name of a registered model."""
    return path.suffix in (".yaml", ".yml") or not path.suffix


def _inside(folder: Path) -> Path:
    """Return what a folder offers: the best weights of a training, its last ones, or a model."""
    for name in (BEST, LAST, "card.yaml", "model/card.yaml"):
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(
        folder,
        found="no weights",
        expected=f"{BEST}, {LAST} or a model card",
        remedy="give a training folder, a model folder or a weights file",
    )


def _read_model(path: Path, config: NetworkConfig) -> Mapping[str, Tensor]:
    """Return the arrays of a model's last network, which is the one that was trained, or of a weights file of ours."""
    spec = NetworkSpec("segmenter", "unet", config)
    if _is_card(path):
        card = load_card(str(path))
        spec, path = card.networks[-1], find_weights(card).path
    return {name: torch.from_numpy(array) for name, array in load_state(path, spec).items()}


Net = TypeVar("Net", bound=nn.Module)


def initialise(net: Net, generator: torch.Generator) -> Net:
    """Draw Glorot-uniform kernels and set biases to zero, as the reference does; norms start as the identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net
