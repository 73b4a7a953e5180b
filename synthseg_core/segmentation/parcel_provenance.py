"""Sidecar of parcels: both models, the scan, the segmentation they were made from, and what is doubtful."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthseg_core import __version__
from synthseg_core.bids.description import CODE_NAME
from synthseg_core.images.reading import Scan
from synthseg_core.models.card import ModelCard
from synthseg_core.models.loading import LoadedModel
from synthseg_core.segmentation.class_maps import Decision
from synthseg_core.segmentation.parcellate import ScanParcels
from synthseg_core.segmentation.scan_origin import Origin, source_entry
from synthseg_core.segmentation.sidecars import model_entry


@dataclass(frozen=True)
class Segmented:
    """The segmentation whose cortex was divided.

    Parameters
    ----------
    card
        Of the model that made it.
    decision
        What it left.
    sources
        Names of its label maps.
    """

    card: ModelCard
    decision: Decision
    sources: tuple[str, ...]

    def model_entry(self) -> dict[str, Any]:
        """Return what identifies the model and its weights; those on disk may be others by now."""
        return {
            "Name": self.card.name,
            "Family": self.card.family,
            "WeightsSHA256": self.decision.basis.weights_sha256,
            "Licence": self.card.weights.licence,
            "Citation": list(self.card.citation),
        }

    def options(self) -> dict[str, Any]:
        """Return the options that it was made with."""
        basis, record = self.decision.basis, self.decision.record
        crop = None if record.crop is None else list(record.core_shape)
        return {"Fast": basis.fast, "CT": basis.ct, "CropVoxels": crop}


def parcel_sidecar(
    scan: Scan, origin: Origin, segmented: Segmented, model: LoadedModel, result: ScanParcels
) -> dict[str, Any]:
    """Return the content of the JSON file beside a label map with parcels (BIDS keys first, then our own)."""
    return {
        "Description": f"Label map with parcels of the cortex by {model.card.title}",
        "Sources": [origin.source, *segmented.sources],
        "SpatialReference": origin.source,
        "Manual": False,
        "Resolution": {"1mm": "1 mm isotropic, covering the field of view of the scan"},
        "GeneratedBy": [{"Name": CODE_NAME, "Version": __version__}],
        "Model": model_entry(model),
        "SegmentationModel": segmented.model_entry(),
        "Options": segmented.options(),
        "Source": source_entry(scan, origin),
        "Volumes": (
            "soft volumes are sums of posteriors, scaled so that the parcels of a side add up to its cortex; "
            "hard volumes count voxels of the label map; mm^3"
        ),
        "Warnings": list(result.warnings),
    }
