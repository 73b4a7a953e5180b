"""Models of nnU-Net v2: how a scan comes to their grid, and the folds of a model that answer together.

Steps: axes as stored or as RAS, crop to what is not 0, intensities over the whole box, spline to the network's voxels,
overlapping windows, mean of the folds. Isensee et al., Nature Methods 2021; SIAM uses it for whole heads.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import binary_fill_holes

from synthseg_core.errors import UsageError
from synthseg_core.images.affines import Orientation, Shape3, Size3, closest_ras, isotropic, triple, unit_columns
from synthseg_core.images.grids import Grid, own_grid
from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.card import ModelCard
from synthseg_core.models.loading import LoadedModel
from synthseg_core.models.nnunet_plan import NnUNetPlan, folds_of
from synthseg_core.networks.arrays import parameter_count
from synthseg_core.networks.config import NetworkSpec
from synthseg_core.networks.window_inference import mean_logits
from synthseg_core.segmentation.conform import Conformed
from synthseg_core.segmentation.logits import Box, Logits
from synthseg_core.segmentation.record import ConformRecord
from synthseg_core.segmentation.scores import Structures
from synthseg_core.segmentation.segmenter import SegmentOptions

_AS_STORED = Orientation((0, 1, 2), (False, False, False))
_HEADER_TOLERANCE = 1e-4  # of a voxel's edge; where header and affine agree the header's digits are used
_SMALLEST_DEVIATION = 1e-8
# Isotropic voxels of these edges keep thin structures better as they are (SIAM's advice).
_USABLE_MM, _ISOTROPIC = (0.6, 1.0), 0.02
# Slabs, smaller maps and one window's part of the sums, beside the two maps of the finest stage.
_BESIDE_MAPS = 1.3


@dataclass(frozen=True)
class LogitAnswer:
    """Logits, and the most probable classes.

    Parameters
    ----------
    logits
        Mean of the folds.
    class_map : (I, J, K) uint8
        On the network's grid, RAS.
    """

    logits: Logits
    class_map: np.ndarray

    @property
    def parcel_map(self) -> np.ndarray:
        """The same: this family has no quirks."""
        return self.class_map

    def structures(self, card: ModelCard, record: ConformRecord, options: SegmentOptions) -> Structures:
        """Return the classes as they are: nothing is cleaned up."""
        del record, options
        return Structures(self.logits, np.asarray(card.labels.labels, dtype=np.int32)[self.class_map])


@dataclass(frozen=True)
class PlannedScan(Conformed):
    """A scan as an nnU-Net sees it.

    Parameters
    ----------
    spacing
        Edges of the scan's voxels as the plan was told, mm, axis order of the network.
    box
        What of the scan the network sees, axis order of the network.
    """

    spacing: Size3 = (1.0, 1.0, 1.0)
    box: Box = (slice(0, 1), slice(0, 1), slice(0, 1))


class NnUNetSegmenter:
    """The folds of an nnU-Net, loaded one after the other."""

    def __init__(self, model: LoadedModel) -> None:
        assert model.card.plan is not None
        self._model = model
        self._plan: NnUNetPlan = model.card.plan

    def conform(self, scan: Scan, options: SegmentOptions) -> PlannedScan:
        """Crop to what is not 0, normalise, resample; crops that are asked for are refused: windows bound the memory.

        Raises
        ------
        UsageError
            If there is an option that this family does not know.
        """
        self._folds(options)
        plan = self._plan
        told, warnings = _told_spacing(scan, options, plan)
        orientation = closest_ras(unit_columns(scan.volume.affine)) if plan.orientation == "RAS" else _AS_STORED
        # As a file of that orientation would be read: slowest axis first. Sums in float32 depend on it.
        stored = np.ascontiguousarray(orientation.to_ras(scan.volume.data).transpose(2, 1, 0), dtype=np.float32)
        turned = stored.transpose(plan.transpose)
        spacing = triple(told[orientation.axes[axis]] for axis in plan.axes)
        box = bounding_box(turned)
        cropped = normalised(turned[box], plan)
        shape, back = new_shape(cropped.shape, spacing, plan.spacing_mm), np.argsort(plan.axes)
        ras = plan.image.resize(cropped, shape, spacing, plan.spacing_mm).transpose(back)
        record = planned_record(scan.volume, orientation, triple(box[axis] for axis in back), ras.shape)
        return PlannedScan(
            image=ras,
            record=record,
            resampled=Volume(record.to_source_order(ras), record.grid_affine),
            warnings=warnings,
            answer=record.source,
            spacing=spacing,
            box=box,
        )

    def answer(self, conformed: Conformed, options: SegmentOptions, companions: Collection[str]) -> LogitAnswer:
        """Return the mean of the logits of the folds."""
        del companions  # cards of this family have none
        assert isinstance(conformed, PlannedScan)
        plan = self._plan
        image = torch.from_numpy(np.ascontiguousarray(conformed.image.transpose(plan.axes), dtype=np.float32))[None]
        runners = self._model.stream(self._folds(options))
        values = mean_logits(runners, image, plan.patch_voxels, half=options.mode == "exact").numpy()  # type: ignore[arg-type]
        logits = Logits(values, plan, conformed.spacing, conformed.box, conformed.record, self._model.card.labels)
        return LogitAnswer(logits, logits.class_map)

    def network_bytes(self, shape: Shape3, options: SegmentOptions) -> int:
        """Estimate the memory for logits, one network, and two maps of its finest stage."""
        plan, folds = self._plan, self._folds(options)
        config = folds[0].config
        patch = math.prod(plan.patch_voxels)
        window = [max(shape[axis], edge) for axis, edge in zip(plan.axes, plan.patch_voxels, strict=True)]
        kept = (2 if options.mode == "exact" else 4) * config.out_channels * math.prod(window) * min(len(folds), 2)
        return kept + int(_BESIDE_MAPS * 4 * config.finest_maps * patch) + 2 * 4 * parameter_count(config)

    def _folds(self, options: SegmentOptions) -> tuple[NetworkSpec, ...]:
        """Return the networks to run: with ``fast`` the first one."""
        card = self._model.card
        if options.crop is not None or options.autocrop:
            raise UsageError(
                "--crop", found=f"it with model {card.name}", expected="no crop", remedy="leave it out: windows do it"
            )
        folds = folds_of(card, options.folds)
        return folds[:1] if options.fast else folds


def bounding_box(data: np.ndarray) -> Box:
    """Return the box of what is not 0; the whole array where all is."""
    occupied = data != 0
    spans = []
    for axis in range(3):
        found = np.flatnonzero(occupied.any(axis=tuple(a for a in range(3) if a != axis)))
        spans.append(slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, data.shape[axis]))
    return triple(spans)


def new_shape(shape: Shape3, spacing: Size3, wanted: Size3) -> Shape3:
    """Return the voxels of other edges that a box has; exact halves go to the even number."""
    return triple(max(round(old / new * n), 1) for old, new, n in zip(spacing, wanted, shape, strict=True))


def normalised(box: np.ndarray, plan: NnUNetPlan) -> np.ndarray:
    """Return the intensities of a box as the plan wants them, float32; ``box`` is overwritten."""
    if plan.normalisation == "zscore":
        return _standardised(box, plan)
    if plan.normalisation == "ct":
        facts = plan.intensities
        np.clip(box, facts["percentile_00_5"], facts["percentile_99_5"], out=box)
        box -= facts["mean"]
        box /= max(facts["std"], _SMALLEST_DEVIATION)
    elif plan.normalisation == "rescale":
        box -= box.min()
        box /= max(box.max(), _SMALLEST_DEVIATION)
    elif plan.normalisation == "rgb":
        box /= 255
    return box


def _standardised(box: np.ndarray, plan: NnUNetPlan) -> np.ndarray:
    inside = np.asarray(binary_fill_holes(box != 0), dtype=bool) if plan.inside_only else None
    seen = box if inside is None else box[inside]
    mean, deviation = seen.mean(), max(seen.std(), _SMALLEST_DEVIATION)
    if inside is not None:
        box[inside] = (seen - mean) / deviation
        return box
    box -= mean
    box /= deviation
    return box


def planned_record(volume: Volume, orientation: Orientation, box: Box, shape: Shape3) -> ConformRecord:
    """Return how a grid of a shape over a box lies on the scan; box and shape in the order of the orientation."""
    source = own_grid(volume.shape, volume.affine)
    counts, steps, shifts = [0, 0, 0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]
    for world, axis in enumerate(orientation.axes):
        total, part = source.shape[axis], box[world]
        shift = (part.start + part.stop - total) / 2
        counts[axis], steps[axis] = shape[world], (part.stop - part.start) / shape[world]
        shifts[axis] = -shift if orientation.flips[world] else shift
    first = (np.array(source.shape) - 1) / 2 + shifts - (np.array(counts) - 1) / 2 * steps
    affine = np.array(source.affine, dtype=np.float64)
    affine[:3, 3] += affine[:3, :3] @ first
    affine[:3, :3] *= steps
    edges = triple(edge * step for edge, step in zip(source.voxel_size, steps, strict=True))
    grid = Grid(triple(counts), affine, edges, triple(steps), triple(shifts))
    same = grid.shape == source.shape
    return ConformRecord(source, grid, orientation, not same, None, (0, 0, 0), shape)


def _told_spacing(scan: Scan, options: SegmentOptions, plan: NnUNetPlan) -> tuple[Size3, tuple[str, ...]]:
    """Return the edges of the voxels as the plan is told them, mm, the scan's axis order, and warnings."""
    edges = scan.volume.voxel_size
    if options.quirks.header_decides_resampling or np.allclose(scan.header_voxel_size, edges, _HEADER_TOLERANCE, 0):
        edges = scan.header_voxel_size
    if options.voxel_size_mm is not None:
        return isotropic(float(np.float32(options.voxel_size_mm))), ()
    if options.skip_resampling:
        if min(edges) >= _USABLE_MM[0] and max(edges) <= _USABLE_MM[1] and max(edges) - min(edges) <= _ISOTROPIC:
            placed = [0.0, 0.0, 0.0]
            orientation = closest_ras(unit_columns(scan.volume.affine)) if plan.orientation == "RAS" else _AS_STORED
            for edge, axis in zip(plan.spacing_mm, plan.axes, strict=True):
                placed[orientation.axes[axis]] = edge
            return triple(placed), ()
        text = " x ".join(f"{edge:g}" for edge in edges)
        return edges, (f"resampled all the same: voxels of {text} mm are not isotropic and 0.6 to 1 mm",)
    if options.voxel_scale == 1:
        return edges, ()
    return triple(float(np.float32(edge * options.voxel_scale)) for edge in edges), ()
