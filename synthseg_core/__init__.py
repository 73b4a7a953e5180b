"""Segment brain scans of any contrast and resolution; the functions behind the ``synthseg`` command.

Three lines segment a scan on its own grid::

    from synthseg_core import load_card, load_models, read_scan, segment_scan

    models = load_models(load_card("synthseg-2.0"))
    result = segment_scan(read_scan("scan.nii.gz"), models)
    labels = result.label_map_on(result.record.source)

Arrays are (I, J, K) in the scan's own axis order, affines lead from voxel centres to world mm (RAS+), volumes are mm³.
Known faults are raised as children of :class:`SynthSegError`.

Importing this package loads neither torch nor nibabel: the names below are resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "SynthSegError": "errors",
    "Volume": "images.volume",
    "LabelTable": "labels.table",
    "ModelCard": "models.card",
    "load_card": "models.registry",
    "registered_models": "models.registry",
    "Scan": "images.reading",
    "read_scan": "images.reading",
    "write_volume": "images.writing",
    "load_models": "models.loading",
    "SegmentOptions": "segmentation.segment",
    "Segmentation": "segmentation.segment",
    "segment_scan": "segmentation.segment",
}

__all__ = [*_PUBLIC, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]  built from the lazy table above


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("synthseg-bids")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
