"""What a segmentation leaves for later: parcels and quality scores are then added without its network."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from synthseg_core.errors import InputError, ModelError
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import ModelCard
from synthseg_core.segmentation.record import ConformRecord
from synthseg_core.system.atomic import atomic_path

_KEYS = ("channels", "structures", "about")
# What numpy, zipfile and json raise on files of another kind or damaged ones.
_READ_ERRORS = (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True)
class MadeFrom:
    """What class maps were made from.

    Parameters
    ----------
    model
        Name of the model.
    labels
        Label of each of its channels.
    weights_sha256, scan_sha256
        Of the files.
    volume
        Which volume of a 4-D scan was taken, counted from 0; ``None``: the only or the first one.
    fast, ct
        Options of the segmentation.
    """

    model: str
    labels: tuple[int, ...]
    weights_sha256: str
    scan_sha256: str
    volume: int | None = None
    fast: bool = False
    ct: bool = False


@dataclass(frozen=True)
class ClassMaps:
    """Channel indices before and after clean-up.

    Parameters
    ----------
    channels : (I, J, K) uint8
        Index of the most probable channel on the padded network grid, before clean-up: what the later networks see.
    structures : (I', J', K') uint8
        Index of the channel on the unpadded (and, with a crop, cropped) grid, after clean-up: the segmentation.
    cortex_mm3
        Soft volume of the cortex by side, mm³; empty for models without cortex.
    record
        How these grids lie on the scan.
    basis
        What all of it was made from.
    """

    channels: np.ndarray
    structures: np.ndarray
    cortex_mm3: Mapping[str, float]
    record: ConformRecord
    basis: MadeFrom

    def labels(self) -> np.ndarray:
        """Return the segmentation as labels, int32."""
        return np.asarray(self.basis.labels, dtype=np.int32)[self.structures]


def channels_of(label_map: np.ndarray, table: LabelTable) -> np.ndarray:
    """Return the channel index of every voxel of a label map; the inverse of looking up labels."""
    channels = np.zeros(max(table.labels) + 1, dtype=np.uint8 if len(table) <= 256 else np.uint16)
    channels[list(table.labels)] = np.arange(len(table))
    return channels[label_map]


def write_class_maps(path: Path, decision: ClassMaps) -> None:
    """Write atomically; the same decision gives the same bytes."""
    about = {
        "basis": asdict(decision.basis),
        "cortex_mm3": dict(decision.cortex_mm3),
        "record": decision.record.to_json(),
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            channels=decision.channels,
            structures=decision.structures,
            about=np.array(json.dumps(about)),
        )


def read_class_maps(path: Path) -> ClassMaps:
    """Read what :func:`write_class_maps` wrote; ``InputError`` for any other file."""
    try:
        return _checked(_stored(path))
    except _READ_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            path,
            found=f"no stored decision ({reason})",
            expected="a file made with 'synthseg segment --decision'",
            remedy="segment the scan again",
        ) from error


def require_model(path: Path, decision: ClassMaps, card: ModelCard) -> None:
    """Refuse a decision of another model, or of one whose channels meant something else."""
    basis = decision.basis
    if (basis.model, basis.labels) == (card.name, card.labels.labels):
        return
    other = f"model {basis.model}" if basis.model != card.name else f"another label table of model {card.name}"
    raise ModelError(
        path,
        found=f"a decision by {other}",
        expected=f"one by model {card.name} as it is now",
        remedy="name the model that the scan was segmented with, or segment the scan again",
    )


def _stored(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        content = np.load(file, allow_pickle=False)
        if not isinstance(content, NpzFile):
            raise TypeError("a single array")
        return {key: content[key] for key in _KEYS}


def _checked(arrays: dict[str, np.ndarray]) -> ClassMaps:
    about: dict[str, Any] = json.loads(str(arrays["about"]))
    record = ConformRecord.from_json(about["record"])
    values: dict[str, Any] = dict(about["basis"])
    labels = tuple(values.pop("labels"))
    basis = MadeFrom(labels=labels, **values)
    for name, shape in (("channels", record.padded_shape), ("structures", record.core_shape)):
        _check_channels(arrays[name], shape, len(basis.labels))
    cortex = {side: float(volume) for side, volume in about["cortex_mm3"].items()}
    return ClassMaps(arrays["channels"], arrays["structures"], cortex, record, basis)


def _check_channels(channels: np.ndarray, shape: tuple[int, ...], count: int) -> None:
    if channels.dtype.kind != "u" or channels.shape != tuple(shape):
        raise ValueError(f"{channels.dtype} of shape {channels.shape} for a grid of {shape}")
    if channels.size and channels.max() >= count:
        raise ValueError(f"channel {channels.max()} of {count}")
