"""Write the safetensors format: eight bytes of header length, a JSON header, the arrays one after the other.

Layout: https://huggingface.co/docs/safetensors, "Format". Written here and not by the package of that name, so that a
computer with nothing but torch, NumPy and nibabel can export what it trained. The same content gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthseg_core.errors import WeightsError

_NAMES = {"float64": "F64", "float32": "F32", "float16": "F16"}
_ALIGNMENT_BYTES = 8
METADATA_KEY = "synthseg"


def model_bytes(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str], *, half: bool = False) -> bytes:
    """Return the content of a weights file with our facts in its header.

    Parameters
    ----------
    arrays
        By name, the network's prefix included; stored as 16-bit or 32-bit floats. Arrays with values beyond the range
        of 16 bits, such as running variances of deep layers, keep 32.
    metadata
        Facts; kept as one JSON text, because the package that reads the file orders several as it likes.

    Raises
    ------
    WeightsError
        If a value is not finite or too large for the number type.
    """
    stored = {name: _cast(name, array, half) for name, array in arrays.items()}
    return safetensors_bytes(stored, {METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)})


def safetensors_bytes(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Return the content of a safetensors file.

    Parameters
    ----------
    arrays
        Floating-point arrays by name; stored widest type first, then by name, whatever their order here.
    metadata
        Text for the header.
    """
    ordered = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name in ordered:
        array = arrays[name]
        span = [start, start + array.nbytes]
        header[name] = {"dtype": _NAMES[array.dtype.name], "shape": list(array.shape), "data_offsets": span}
        start = span[1]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNMENT_BYTES)
    contents = (arrays[name].astype(arrays[name].dtype.newbyteorder("<")).tobytes() for name in ordered)
    return len(text).to_bytes(8, "little") + text + b"".join(contents)


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
