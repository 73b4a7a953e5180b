"""Sidecars of a segmentation: what made it, from what, with which options, and what is doubtful. No clock, no host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthseg_core.bids.description import CODE_NAME, SCORE_COLUMNS
from synthseg_core.images.reading import Scan
from synthseg_core.labels.structures import structure
from synthseg_core.models.loading import LoadedModel
from synthseg_core.segmentation.scan_origin import ONE_MM, Origin, common_entries, generated_by, source_entry
from synthseg_core.segmentation.segment import Segmentation, SegmentOptions

__all__ = ["CODE_NAME", "Origin", "Provenance", "model_entry", "quality_sidecar", "sidecar", "source_entry"]

_VOLUMES = "soft volumes are sums of posteriors, hard volumes count voxels of the label map; mm^3"
_TOTAL = "; the total intracranial volume is the sum of all structures, fluid included where the model has it"


@dataclass(frozen=True)
class Provenance:
    """Everything that the sidecars of one segmentation are made of."""

    scan: Scan
    origin: Origin
    result: Segmentation
    model: LoadedModel
    options: SegmentOptions

    def label_map(self) -> dict[str, Any]:
        """Return the content of the JSON file beside a label map (BIDS keys first, then our own)."""
        total = _TOTAL if self.model.card.inference.total_intracranial else ""
        return {
            **common_entries(self.origin, f"Label map by {self.model.card.title}"),
            "Manual": False,
            "Resolution": {"1mm": ONE_MM},
            **self._making(),
            "Network": self._network(),
            "Channels": [
                {"Channel": channel, "Label": label, "Name": name} for channel, label, name in self._channels()
            ],
            "Volumes": _VOLUMES + total,
            "Warnings": list(self.result.warnings),
        }

    def mask(self) -> dict[str, Any]:
        """Return the content of the JSON file beside a brain mask."""
        names = ", ".join(name for _, label, name in self._channels() if label)
        text = (
            "1 where the label map has any structure, as in the total intracranial volume: "
            f"{names}. Holes are not filled, and fluid counts as far as the model has it"
        )
        return {
            **common_entries(self.origin, text),
            "Type": "Brain",
            "Manual": False,
            **self._making(),
            "Warnings": list(self.result.warnings),
        }

    def posteriors(self) -> dict[str, Any]:
        """Return the content of the JSON file beside posteriors at 1 mm."""
        return {
            **common_entries(self.origin, f"Posterior probabilities by {self.model.card.title}"),
            "Manual": False,
            "Resolution": ONE_MM,
            "LabelMap": [name for _, _, name in self._channels()],
            "Channels": [_channel_entry(*channel) for channel in self._channels()],
            **self._making(),
            "Network": self._network(),
            "Warnings": list(self.result.warnings),
        }

    def _making(self) -> dict[str, Any]:
        return {
            "GeneratedBy": generated_by(),
            "Model": model_entry(self.model),
            "Options": _options(self.options),
            "Source": source_entry(self.scan, self.origin),
        }

    def _network(self) -> dict[str, Any]:
        grid = self.model.card.grid
        return {
            "VoxelSizeMm": grid.voxel_size_mm,
            "Resampled": self.result.record.resampled,
            "GridShapeVoxels": list(self.result.record.grid_shape),
            "AnswerVoxelSizeMm": grid.answer_mm,
        }

    def _channels(self) -> list[tuple[int, int, str]]:
        labels = self.result.labels
        return [(channel, *pair) for channel, pair in enumerate(zip(labels.labels, labels.names, strict=True))]


def sidecar(
    scan: Scan, origin: Origin, result: Segmentation, model: LoadedModel, options: SegmentOptions
) -> dict[str, Any]:
    """Return the content of the JSON file beside a label map."""
    return Provenance(scan, origin, result, model, options).label_map()


def quality_sidecar(model: LoadedModel) -> dict[str, Any]:
    """Return the content of the JSON file beside quality scores."""
    warnings = list(model.weights.warnings)
    return {**SCORE_COLUMNS, "GeneratedBy": generated_by(), "Model": model_entry(model), "Warnings": warnings}


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


def _channel_entry(channel: int, label: int, name: str) -> dict[str, Any]:
    known = structure(label, name)
    return {"Volume": channel, "Label": label, "Name": name, "Abbreviation": known.abbreviation if known else None}


def _options(options: SegmentOptions) -> Mapping[str, Any]:
    return {
        "Fast": options.fast,
        "CT": options.ct,
        "CropVoxels": None if options.crop is None else list(options.crop),
    }
