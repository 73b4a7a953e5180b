"""The network's decision before clean-up, kept so that parcels and quality scores can be added later without it."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.atomic import atomic_path
from synthseg_core.conform_record import ConformRecord
from synthseg_core.errors import InputError

_KEYS = {"channels", "record", "model"}


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
        with np.load(path, allow_pickle=False) as content:
            arrays = {key: content[key] for key in _KEYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            path,
            found=f"no stored decision ({error})",
            expected="a file made with 'synthseg segment --decision'",
            remedy="segment the scan again",
        ) from error
    record = ConformRecord.from_json(json.loads(str(arrays["record"])))
    return Decision(arrays["channels"], record, str(arrays["model"]))
