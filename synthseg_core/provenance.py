"""Sidecar of a segmentation: what made it, from what, with which options, and what is doubtful. No clock, no host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthseg_core import __version__
from synthseg_core.io import Scan
from synthseg_core.loading import LoadedModel
from synthseg_core.segment import Segmentation, SegmentOptions

CODE_NAME = "synthseg-bids"


@dataclass(frozen=True)
class Origin:
    """Where a scan came from.

    Parameters
    ----------
    source
        How to name the scan: a BIDS URI or a path that means something beside the outputs.
    sha256
        Of the file.
    volume
        Which volume of a 4-D file was taken, counted from 0; ``None``: the only or the first one.
    """

    source: str
    sha256: str
    volume: int | None = None


def sidecar(
    scan: Scan, origin: Origin, result: Segmentation, model: LoadedModel, options: SegmentOptions
) -> dict[str, Any]:
    """Return the content of the JSON file beside a label map (BIDS keys first, then our own)."""
    size_mm = model.card.grid.voxel_size_mm
    return {
        "Description": f"Label map by {model.card.title}",
        "Sources": [origin.source],
        "SpatialReference": origin.source,
        "Manual": False,
        "Resolution": {"1mm": "1 mm isotropic, covering the field of view of the scan"},
        "GeneratedBy": [{"Name": CODE_NAME, "Version": __version__}],
        "Model": model_entry(model),
        "Options": _options(options),
        "Source": source_entry(scan, origin),
        "Network": {
            "VoxelSizeMm": size_mm,
            "Resampled": result.record.resampled,
            "GridShapeVoxels": list(result.record.grid_shape),
            "AnswerVoxelSizeMm": model.card.grid.answer_mm,
        },
        "Channels": [
            {"Channel": channel, "Label": label, "Name": name}
            for channel, (label, name) in enumerate(zip(result.labels.labels, result.labels.names, strict=True))
        ],
        "Volumes": "soft volumes are sums of posteriors, hard volumes count voxels of the label map; mm^3",
        "Warnings": list(result.warnings),
    }


def model_entry(model: LoadedModel) -> dict[str, Any]:
    """Return what identifies a model and its weights."""
    return {
        "Name": model.card.name,
        "Family": model.card.family,
        "WeightsFile": model.weights.path.name,
        "WeightsSHA256": model.weights.sha256,
        "WeightsPublished": model.weights.published,
        "Licence": model.card.weights.licence,
        "Citation": list(model.card.citation),
    }


def _options(options: SegmentOptions) -> Mapping[str, Any]:
    return {
        "Fast": options.fast,
        "CT": options.ct,
        "CropVoxels": None if options.crop is None else list(options.crop),
    }


def source_entry(scan: Scan, origin: Origin) -> dict[str, Any]:
    """Return what identifies a scan."""
    return {
        "File": scan.source.name,
        "SHA256": origin.sha256,
        "Volume": origin.volume,
        "ShapeVoxels": list(scan.volume.shape),
        "VoxelSizeMm": [round(edge, 6) for edge in scan.volume.voxel_size],
    }
