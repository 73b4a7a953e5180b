"""Sidecars of what is made from a scan: what made it, from what, with which options, and what is doubtful.

Neither clock nor host is named, and no torch is loaded: commands without a network write sidecars too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthseg_core import __version__
from synthseg_core.bids.columns import CODE_NAME, SCORE_COLUMNS
from synthseg_core.images.reading import Scan
from synthseg_core.labels.structures import structure
from synthseg_core.models.card import ModelCard
from synthseg_core.models.nnunet_plan import folds_of
from synthseg_core.models.registry import AUTOCROP
from synthseg_core.segmentation.class_maps import ClassMaps

if TYPE_CHECKING:
    from synthseg_core.models.loading import LoadedModel
    from synthseg_core.segmentation.parcellate import ScanParcels
    from synthseg_core.segmentation.segment import Segmentation
    from synthseg_core.segmentation.segmenter import SegmentOptions

ONE_MM = "1 mm isotropic, covering the field of view of the scan"
"""What ``res-1mm`` means."""
_VOLUMES = "soft volumes are sums of posteriors, hard volumes count voxels of the label map; mm^3"
_TOTAL = "; the total intracranial volume is the sum of {}, fluid included where the model has it"


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


def common_entries(origin: Origin, description: str) -> dict[str, Any]:
    """Return the entries that BIDS wants of every image that is made from a scan and lies in its space."""
    return {"Description": description, "Sources": [origin.source], "SpatialReference": origin.source}


def generated_by() -> list[dict[str, str]]:
    """Return what made a file, in the form of BIDS."""
    return [{"Name": CODE_NAME, "Version": __version__}]


def source_entry(scan: Scan, origin: Origin) -> dict[str, Any]:
    """Return what identifies a scan."""
    return {
        "File": scan.source.name,
        "SHA256": origin.sha256,
        "Volume": origin.volume,
        "ShapeVoxels": list(scan.volume.shape),
        "VoxelSizeMm": [round(edge, 6) for edge in scan.volume.voxel_size],
    }


def resampled_sidecar(scan: Scan, origin: Origin, *, interpolated: bool) -> dict[str, Any]:
    """Return the content of the JSON file beside a scan at 1 mm.

    Parameters
    ----------
    scan
        The scan that was resampled.
    origin
        Where it came from.
    interpolated
        Whether voxels were computed; a scan that has this grid already is copied.
    """
    how = "low-pass filtered where voxels grow, then interpolated linearly" if interpolated else "on its own grid"
    return {
        **common_entries(origin, f"The scan at 1 mm, {how}; intensities are those of the scan"),
        "SkullStripped": False,
        "Resolution": ONE_MM,
        "GeneratedBy": generated_by(),
        "Source": source_entry(scan, origin),
        "Warnings": list(scan.warnings),
    }


@dataclass(frozen=True)
class Provenance:
    """Everything that the sidecars of one segmentation are made of.

    Parameters
    ----------
    translation
        How the scan was brought to another contrast before it was segmented; ``None``: it was not.
    """

    scan: Scan
    origin: Origin
    result: Segmentation
    model: LoadedModel
    options: SegmentOptions
    translation: Mapping[str, Any] | None = None

    def label_map(self) -> dict[str, Any]:
        """Return the content of the JSON file beside a label map (BIDS keys first, then our own)."""
        card = self.model.card
        summed = self._summed() if card.inference.total_of is not None else "all structures"
        total = _TOTAL.format(summed) if card.inference.total_intracranial else ""
        return {
            **common_entries(self.origin, f"Label map by {self.model.card.title}"),
            "Manual": False,
            "Resolution": {"1mm": ONE_MM},
            **self._making(),
            "Network": self._network(),
            "Channels": [
                {"Channel": channel, "Label": label, "Name": name, **self._place(label)}
                for channel, label, name in self._channels()
            ],
            "Volumes": _VOLUMES + total,
            "Warnings": list(self.result.warnings),
        }

    def mask(self) -> dict[str, Any]:
        """Return the content of the JSON file beside a brain mask."""
        text = (
            "1 where the label map has any structure, as in the total intracranial volume: "
            f"{self._summed()}. Holes are not filled, and fluid counts as far as the model has it"
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
            "Options": _options(self.options, self.model.card),
            **({} if self.translation is None else {"Translation": dict(self.translation)}),
            "Source": source_entry(self.scan, self.origin),
        }

    def _network(self) -> dict[str, Any]:
        grid = self.model.card.grid
        return {
            "VoxelSizeMm": grid.voxel_size_mm,
            "Resampled": self.result.record.resampled,
            "GridShapeVoxels": list(self.result.record.grid_shape),
            "AnswerVoxelSizeMm": grid.answer_mm,
            **self._field_of_view(),
        }

    def _field_of_view(self) -> dict[str, Any]:
        """Return what found the brain, and where, for models that are given its surroundings; RAS voxels."""
        scout, crop = self.model.scout, self.result.record.crop
        if scout is None:
            return {}
        box = None if crop is None else {"StartVoxels": list(crop[0]), "StopVoxels": list(crop[1])}
        return {"Scout": {"Name": scout.card.name, "WeightsSHA256": scout.weights.sha256, "Box": box}}

    def _place(self, label: int) -> dict[str, Any]:
        """Say of tissue that it lies outside the brain."""
        outside = label and label not in self.model.card.total_labels
        return {"Extracerebral": True} if outside else {}

    def _summed(self) -> str:
        """Return the names of the structures of the total."""
        return ", ".join(name for _, label, name in self._channels() if label in self.model.card.total_labels)

    def _channels(self) -> list[tuple[int, int, str]]:
        labels = self.result.labels
        return [(channel, *pair) for channel, pair in enumerate(zip(labels.labels, labels.names, strict=True))]


def sidecar(
    scan: Scan, origin: Origin, result: Segmentation, model: LoadedModel, options: SegmentOptions
) -> dict[str, Any]:
    """Return the content of the JSON file beside a label map."""
    return Provenance(scan, origin, result, model, options).label_map()


def quality_sidecar(model: LoadedModel, segmented: Segmented) -> dict[str, Any]:
    """Return the content of the JSON file beside quality scores of a segmentation."""
    basis = segmented.decision.basis
    return {
        **SCORE_COLUMNS,
        "GeneratedBy": generated_by(),
        "Model": model_entry(model),
        "SegmentationModel": segmented.model_entry(),
        "Options": segmented.options(),
        "Source": {"SHA256": basis.scan_sha256, "Volume": basis.volume},
        "Warnings": list(model.weights.warnings),
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


def _channel_entry(channel: int, label: int, name: str) -> dict[str, Any]:
    known = structure(label, name)
    return {"Volume": channel, "Label": label, "Name": name, "Abbreviation": known.abbreviation if known else None}


def _options(options: SegmentOptions, card: ModelCard) -> Mapping[str, Any]:
    common = {
        "Fast": options.fast,
        "CT": options.ct,
        "CropVoxels": None if options.crop is None else list(options.crop),
        **({"Autocrop": True} if card.scout == AUTOCROP else {}),
    }
    if card.plan is None:
        return common
    folds = folds_of(card, options.folds)[: 1 if options.fast else None]
    return {
        **common,
        "Folds": [int(spec.prefix.rpartition("_")[2]) for spec in folds],
        "Mode": options.mode,
        "VoxelScale": options.voxel_scale,
        "VoxelSizeMm": options.voxel_size_mm,
        "SkipResampling": options.skip_resampling,
    }


@dataclass(frozen=True)
class Segmented:
    """The segmentation whose cortex was divided, or which was scored.

    Parameters
    ----------
    card
        Of the model that made it.
    decision
        What it left.
    sources
        Names of its label maps, as far as they were given.
    """

    card: ModelCard
    decision: ClassMaps
    sources: tuple[str, ...] = ()

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
