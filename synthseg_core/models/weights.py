"""Weights: where a model's file lies, whether it is the published one, and its arrays by torch name."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from synthseg_core.errors import WeightsError
from synthseg_core.models.arrays import METADATA_KEY, model_bytes
from synthseg_core.models.card import ModelCard
from synthseg_core.models.keras_file import (
    Arrays,
    layers_of,
    parameter_count,
    read_keras,
    require_complete,
    torch_shapes,
    write_keras,
)
from synthseg_core.networks.config import NetworkSpec
from synthseg_core.system.atomic import write_bytes
from synthseg_core.system.file_identity import FileKind, identify, kind_of_file, sha256_of
from synthseg_core.system.paths import is_file

__all__ = [
    "FoundWeights",
    "Place",
    "cache_folder",
    "examine",
    "file_names",
    "find_weights",
    "layers_of",
    "load_state",
    "locate",
    "parameter_count",
    "places",
    "read_metadata",
    "save_safetensors",
    "sha256_of",
    "torch_shapes",
    "write_keras",
]

_LISTED_FAULTS = 6
_EXTENSIONS = (".h5", ".safetensors")
_FLOATS = ("F16", "F32", "F64")


@dataclass(frozen=True)
class Place:
    """A folder where weights may lie.

    Parameters
    ----------
    name
        What the folder is, for messages.
    own
        Whether the user vouches for its files: other weights than the published ones are then a warning, no error.
    """

    name: str
    folder: Path
    own: bool = False


@dataclass(frozen=True)
class FoundWeights:
    """A weights file and what is known about it.

    Parameters
    ----------
    sha256
        Of the file.
    published
        Whether it is the file that the card describes; ``None`` where the card has no checksum for it.
    warnings
        One line each.
    """

    path: Path
    sha256: str
    published: bool | None
    warnings: tuple[str, ...] = ()


def load_state(path: Path, spec: NetworkSpec) -> Arrays:
    """Read the arrays of one network.

    Parameters
    ----------
    path
        A Keras HDF5 file in either layout, or safetensors; recognised by content, not by name.
    spec
        The network: its prefix selects the layers, its configuration says which shapes they must have.

    Returns
    -------
    dict
        Arrays by the names of the torch module's parameters and running statistics, float32, torch axis order.

    Raises
    ------
    WeightsError
        If the file is of another kind or damaged; or if arrays are missing, have another shape, or hold NaN or
        infinite values: all of them are counted, the first ones listed.
    """
    kind = _kind(path)
    if kind is FileKind.HDF5:
        arrays, faults = read_keras(path, spec)
    elif kind is FileKind.SAFETENSORS:
        arrays, faults = _read_safetensors(path, spec)
    else:
        raise WeightsError(
            path,
            found=kind.value,
            expected="weights as Keras HDF5 or safetensors",
            remedy="fetch the file again with 'synthseg models fetch', or copy the file itself",
        )
    faults += [f"values in {name} that are not finite" for name in arrays if not np.isfinite(arrays[name]).all()]
    if faults:
        raise WeightsError(
            path,
            found=_listed(faults),
            expected=f"the {len(torch_shapes(spec))} arrays of network {spec.prefix!r} ({spec.role})",
            remedy="use the weights that belong to this model card",
        )
    return arrays


def save_safetensors(
    path: Path,
    networks: Sequence[tuple[NetworkSpec, Mapping[str, NDArray[Any]]]],
    *,
    half: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write networks to one safetensors file; the same arrays give the same bytes.

    Parameters
    ----------
    path
        The file to make; it is replaced in one step.
    networks
        Each network with its arrays by torch name; arrays beyond the named ones (counters) are left out.
    half
        Store 16-bit floats: half the size, about three significant digits.
    metadata
        Facts to keep in the file's header.

    Raises
    ------
    WeightsError
        If arrays are missing, have another shape, or do not fit into the number type.
    """
    stored = {}
    for spec, arrays in networks:
        require_complete(path, spec, arrays)
        stored |= {f"{spec.prefix}.{name}": arrays[name] for name in torch_shapes(spec)}
    write_bytes(path, model_bytes(stored, metadata or {}, half=half))


def read_metadata(path: Path) -> dict[str, str]:
    """Return the facts that ``save_safetensors`` kept; empty for files from elsewhere."""
    with safe_open(path, framework="numpy") as file:
        return json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))


def cache_folder() -> Path:
    """Return the folder that downloads go to: ``$SYNTHSEG_MODELS``, or one in the user's cache folder."""
    folder = _named_folder() or _user_cache()
    if folder is None:
        raise WeightsError(
            "weights cache",
            found="no home folder",
            expected="one",
            remedy="set SYNTHSEG_MODELS to a folder for weights",
        )
    return folder


def places(card: ModelCard, folder: Path | None = None) -> tuple[Place, ...]:
    """Return where to look for a model's weights, in order; a folder that the user names is the only place."""
    if folder is not None:
        return (Place("the folder given", folder, own=True),)
    beside = (card.source.parent / Path(card.weights.file).parent).resolve()
    usual = (("beside the card", beside), ("$SYNTHSEG_MODELS", _named_folder()), ("the user's cache", _user_cache()))
    return tuple(Place(name, place) for name, place in usual if place is not None)


def file_names(card: ModelCard) -> tuple[str, ...]:
    """Return the names that a model's weights may have: as in the card, or converted to the other format."""
    name = Path(card.weights.file)
    others = [name.with_suffix(extension).name for extension in _EXTENSIONS if name.suffix != extension]
    return (name.name, *(others if name.suffix in _EXTENSIONS else ()))


def find_weights(card: ModelCard, folder: Path | None = None) -> FoundWeights:
    """Find a model's weights and check them against the card.

    Parameters
    ----------
    folder
        A folder of the user's, searched instead of the usual places; files in it that differ from the published ones
        are taken with a warning.

    Raises
    ------
    WeightsError
        If there is no file, or one in the usual places is not the published file.
    """
    if (found := locate(card, folder)) is not None:
        return examine(card, *found)
    searched = places(card, folder)
    by_fetch = f"run 'synthseg models fetch {card.name}' or " if card.weights.urls else ""
    raise WeightsError(
        f"model {card.name}",
        found=f"no weights in {'; '.join(f'{place.folder} ({place.name})' for place in searched)}",
        expected=" or ".join(file_names(card)),
        remedy=f"{by_fetch}give the folder that holds the file with --weights DIR",
    )


def locate(card: ModelCard, folder: Path | None = None) -> tuple[Path, Place] | None:
    """Return the weights file that would be used, without reading it, and its place; ``None`` if there is none."""
    for place in places(card, folder):
        for name in file_names(card):
            if is_file(place.folder / name):
                return place.folder / name, place
    return None


def examine(card: ModelCard, path: Path, place: Place) -> FoundWeights:
    """Check one file against the card; ``WeightsError`` if it differs and the user does not vouch for the place."""
    try:
        identity = identify(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if path.name != Path(card.weights.file).name or card.weights.sha256 is None:
        return FoundWeights(path, identity.sha256, None)
    difference = identity.difference(card.weights.size_bytes, card.weights.sha256)
    if difference is None:
        return FoundWeights(path, identity.sha256, True)
    if not place.own:
        raise WeightsError(
            path,
            found=difference,
            expected=f"the published weights of {card.name}",
            remedy=f"run 'synthseg models fetch {card.name}', or give a folder of your own weights with --weights DIR",
        )
    warning = f"{path}: not the published weights of {card.name} ({difference}); used because the folder was given"
    return FoundWeights(path, identity.sha256, False, (warning,))


def _named_folder() -> Path | None:
    named = os.environ.get("SYNTHSEG_MODELS")
    return Path(named).expanduser() if named else None


def _user_cache() -> Path | None:
    """Return our folder in the cache that the operating system gives to a user's programs; ``None`` without a home."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "synthseg"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "synthseg"
        return (named if named.is_absolute() else Path.home() / ".cache") / "synthseg"
    except RuntimeError:  # a container's user without an entry in the password file
        return None


def _kind(path: Path) -> FileKind:
    try:
        return kind_of_file(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(
        path,
        found=f"a file that cannot be read ({error.strerror or error})",
        expected="a weights file",
        remedy="check the path and its permissions",
    )


def _read_safetensors(path: Path, spec: NetworkSpec) -> tuple[Arrays, list[str]]:
    arrays: Arrays = {}
    faults: list[str] = []
    try:
        with safe_open(path, framework="numpy") as file:
            present = set(file.keys())
            for name, shape in torch_shapes(spec).items():
                key = f"{spec.prefix}.{name}"
                fault = _fault(file, key, shape) if key in present else f"no array {key}"
                if fault:
                    faults.append(fault)
                else:
                    arrays[name] = np.asarray(file.get_tensor(key), dtype=np.float32)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            path,
            found=f"damaged or truncated safetensors ({error})",
            expected="a complete safetensors file",
            remedy="fetch, copy or convert the file again",
        ) from error
    return arrays, faults


def _fault(file: Any, key: str, shape: tuple[int, ...]) -> str | None:
    """Say what is wrong with a stored array, ``None`` if nothing is."""
    stored = file.get_slice(key)
    if tuple(stored.get_shape()) != shape:
        return f"{key} of shape {tuple(stored.get_shape())} instead of {shape}"
    return None if stored.get_dtype() in _FLOATS else f"{key} of type {stored.get_dtype()}"


def _listed(faults: Sequence[str]) -> str:
    more = len(faults) - _LISTED_FAULTS
    return "; ".join(faults[:_LISTED_FAULTS]) + (f"; and {more} more faults" if more > 0 else "")
