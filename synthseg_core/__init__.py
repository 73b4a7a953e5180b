"""Segment brain scans of any contrast and resolution; the functions behind the ``synthseg`` command.

Importing this package loads neither torch nor nibabel: the names below are resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "SynthSegError": "errors",
    "Volume": "volume",
    "LabelTable": "labels",
    "ModelCard": "models",
}

__all__ = [*_PUBLIC, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]  built from the lazy table above


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("synthseg-bids")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
