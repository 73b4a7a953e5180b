"""The network's decision before clean-up, kept so that parcels and quality scores can be added later without it."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from synthseg_core.atomic import atomic_path
from synthseg_core.conform_record import ConformRecord
from synthseg_core.errors import InputError

_KEYS = ("channels", "record", "model")
# What numpy, zipfile and json raise on files of another kind or damaged ones.
_READ_ERRORS = (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True)
class Decision:
    """Channel indices on the padded network grid.

    Parameters
    ----------
    channels : (I, J, K) uint8
        Index of the most probable channel.
    record
        How that grid lies on the scan.
    model
        Name of the model whose label table gives the channels a meaning.
    """

    channels: np.ndarray
    record: ConformRecord
    model: str


def write_decision(path: Path, decision: Decision) -> None:
    """Write atomically; the same decision gives the same bytes."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            channels=decision.channels,
            record=np.array(json.dumps(decision.record.to_json())),
            model=np.array(decision.model),
        )


def read_decision(path: Path) -> Decision:
    """Read what :func:`write_decision` wrote; ``InputError`` for any other file."""
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


def _stored(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        content = np.load(file, allow_pickle=False)
        if not isinstance(content, NpzFile):
            raise TypeError("a single array")
        return {key: content[key] for key in _KEYS}


def _checked(arrays: dict[str, np.ndarray]) -> Decision:
    channels, record = arrays["channels"], ConformRecord.from_json(json.loads(str(arrays["record"])))
    if channels.dtype.kind != "u" or channels.shape != record.padded_shape:
        raise ValueError(f"{channels.dtype} of shape {channels.shape} for a grid of {record.padded_shape}")
    return Decision(channels, record, str(arrays["model"]))
