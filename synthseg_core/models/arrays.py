"""Arrays of weights files: read from Keras HDF5, safetensors or checkpoints of torch, and written as safetensors."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from synthseg_core.errors import WeightsError
from synthseg_core.models.keras_file import read_keras
from synthseg_core.models.weights import file_kind
from synthseg_core.networks.arrays import Arrays, array_shapes, require_complete
from synthseg_core.networks.config import NetworkSpec
from synthseg_core.system.atomic import atomic_path, write_bytes
from synthseg_core.system.file_identity import FileKind

METADATA_KEY = "synthseg"
_LISTED_FAULTS = 6
_FLOATS = ("F16", "F32", "F64")


def load_state(path: Path, spec: NetworkSpec) -> Arrays:
    """Read the arrays of one network.

    Parameters
    ----------
    path
        A Keras HDF5 file in either layout, safetensors, or a checkpoint of torch that holds the arrays of one network
        and nothing else; recognised by content, not by name.
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
    kind = file_kind(path)
    if kind is FileKind.HDF5:
        arrays, faults = read_keras(path, spec)
    elif kind is FileKind.SAFETENSORS:
        arrays, faults = _read_safetensors(path, spec)
    elif kind is FileKind.ZIP:
        from synthseg_core.models.torch_file import read_torch

        arrays, faults = read_torch(path, spec.config)
    else:
        raise WeightsError(
            path,
            found=kind.value,
            expected="weights as Keras HDF5, safetensors, or a checkpoint of torch",
            remedy="fetch the file again with 'synthseg models fetch', or copy the file itself",
        )
    faults += [f"values in {name} that are not finite" for name in arrays if not np.isfinite(arrays[name]).all()]
    if faults:
        raise WeightsError(
            path,
            found=_listed(faults),
            expected=f"the {len(array_shapes(spec.config))} arrays of network {spec.prefix!r} ({spec.role})",
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
        stored |= {f"{spec.prefix}.{name}": arrays[name] for name in array_shapes(spec.config)}
    write_bytes(path, model_bytes(stored, metadata or {}, half=half))


def stream_safetensors(
    path: Path,
    specs: Sequence[NetworkSpec],
    networks: Iterable[Mapping[str, NDArray[Any]]],
    metadata: Mapping[str, str],
) -> None:
    """Write networks of 32-bit floats to one safetensors file, one at a time: together they may not fit into memory.

    Parameters
    ----------
    path
        The file to make; it is replaced in one step.
    specs, networks
        Each network and its arrays by torch name; the latter are asked for in turn, and not kept.
    metadata
        Facts to keep in the file's header.
    """
    entries: dict[str, Any] = {"__metadata__": {METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)}}
    end = 0
    for spec in specs:
        for name, shape in array_shapes(spec.config).items():
            start, end = end, end + 4 * math.prod(shape)
            entries[f"{spec.prefix}.{name}"] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for spec, arrays in zip(specs, networks, strict=True):
            require_complete(path, spec, arrays)
            for name in array_shapes(spec.config):
                stream.write(np.ascontiguousarray(arrays[name], dtype="<f4").data)


def model_bytes(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str], *, half: bool = False) -> bytes:
    """Return the content of a safetensors file with our facts in its header; the same arrays give the same bytes.

    Parameters
    ----------
    arrays
        By name, the network's prefix included; stored as 16-bit or 32-bit floats. Arrays with values beyond the range
        of 16 bits, such as running variances of deep layers, keep 32.
    metadata
        Facts; kept as one JSON text, because safetensors puts several keys in any order.
    half
        Store 16-bit floats.

    Raises
    ------
    WeightsError
        If a value is not finite or too large for the number type.
    """
    stored = {name: _cast(name, array, half) for name, array in arrays.items()}
    return save(stored, {METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)})


def read_metadata(path: Path) -> dict[str, str]:
    """Return the facts that ``save_safetensors`` kept; empty for files from elsewhere."""
    with safe_open(path, framework="numpy") as file:
        return json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))


def _cast(name: str, array: NDArray[Any], half: bool) -> NDArray[Any]:
    largest = float(np.abs(array).max(initial=0))
    if not largest <= float(np.finfo(np.float32).max):
        raise WeightsError(
            f"array {name}",
            found="values that are not finite or too large",
            expected="numbers within float32",
            remedy="train again",
        )
    kind = np.float16 if half and largest <= float(np.finfo(np.float16).max) else np.float32
    return np.ascontiguousarray(array, dtype=kind)


def _read_safetensors(path: Path, spec: NetworkSpec) -> tuple[Arrays, list[str]]:
    arrays: Arrays = {}
    faults: list[str] = []
    try:
        with safe_open(path, framework="numpy") as file:
            present = set(file.keys())
            for name, shape in array_shapes(spec.config).items():
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
