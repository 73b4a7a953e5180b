"""Segment one scan: conform, network, clean-up, label map and volumes; on request parcels and quality scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from synthseg_core.images.grids import Grid
from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.labels.table import CORTEX_LABELS, LabelTable
from synthseg_core.models.loading import Models
from synthseg_core.networks.devices import explained_exhaustion
from synthseg_core.quirks import NATIVE, Quirks
from synthseg_core.segmentation.class_maps import ClassMaps, MadeFrom, channels_of
from synthseg_core.segmentation.conform import Conformed, answer_grid, scan_on
from synthseg_core.segmentation.memory_estimate import segmentation_bytes
from synthseg_core.segmentation.parcels import ParcelMap, ParcelRows
from synthseg_core.segmentation.quality import QualityScore, quality_scores
from synthseg_core.segmentation.record import ConformRecord, same_grid
from synthseg_core.segmentation.scores import ClassScores, Posteriors, Structures
from synthseg_core.segmentation.segmenter import (
    Answer,
    Segmenter,
    SegmentOptions,
    conform_config,
    segmenter_of,
)
from synthseg_core.segmentation.synthseg import stream_parcel_posteriors
from synthseg_core.segmentation.volumes import (
    VolumeTable,
    hard_volumes,
    parcel_volumes,
    volume_table,
    volume_warnings,
    voxel_volume,
)
from synthseg_core.system import memory
from synthseg_core.system.timing import Timer, current

GPU_EXHAUSTED = "the GPU's memory did not suffice: segmented on the CPU"


@dataclass(frozen=True)
class Segmentation:
    """Everything that is known about a scan after segmentation.

    Parameters
    ----------
    labels
        Meaning of the segmentation's channels.
    label_map : (I, J, K) int32
        At the voxel size that the model answers at, mostly the network's, in the scan's axis order; with parcels in
        place of the cortex if they were asked for.
    volumes
        Of structures, and of parcels if they were asked for.
    record
        How the network's grid lies on the scan.
    answer
        Grid of the label map.
    structures : (I, J, K) int32
        The segmentation without parcels, on the unpadded (and cropped) network grid, RAS.
    scores
        Of all classes after clean-up, on the unpadded (and cropped) network grid.
    decision : (I, J, K) uint8
        Channel index of every voxel of the padded network grid, before clean-up; what parcellation and quality
        control start from.
    quality
        Scores, if they were asked for.
    resampled
        The scan at the network's voxel size; ``None`` when it was used as it is. See :func:`scan_at_answer`.
    warnings
        What is doubtful about scan, weights and result, one line each.
    """

    labels: LabelTable
    label_map: Volume
    volumes: VolumeTable
    record: ConformRecord
    answer: Grid
    structures: np.ndarray
    scores: ClassScores
    decision: np.ndarray
    quality: tuple[QualityScore, ...] | None = None
    resampled: Volume | None = None
    warnings: tuple[str, ...] = ()

    @property
    def channel_posteriors(self) -> np.ndarray:
        """Posteriors (N, I, J, K) float32 after clean-up, on the unpadded (and cropped) network grid, RAS."""
        return self.scores.posteriors

    @property
    def posteriors(self) -> Volume:
        """Posteriors (I, J, K, N) on the network's grid, in the scan's axis order."""
        whole = self.record.to_source_order(self.record.paste_posteriors(self.channel_posteriors))
        return Volume(np.moveaxis(whole, 0, -1), self.record.grid_affine)

    def posteriors_on(self, grid: Grid) -> Iterator[np.ndarray]:
        """Yield the posteriors (I, J, K) of each channel on another grid, in the scan's axis order."""
        return self.scores.posteriors_on(grid)

    def label_map_on(self, grid: Grid) -> Volume:
        """Return the segmentation on another grid: scores interpolated class by class, then the argmax.

        On the network's grid, or the grid of the answer, it is there already.
        """
        if same_grid(grid, self.record.grid):
            labels = self.record.to_source_order(self.record.paste_labels(self.structures))
            return Volume(labels, self.record.grid_affine)
        if same_grid(grid, self.answer):
            return self.label_map
        return self.scores.label_map_on(grid)

    def without_scores(self) -> Segmentation:
        """Return the same without posteriors, whose memory, about a gigabyte, is given back."""
        return replace(self, scores=Posteriors(np.empty((0, 0, 0, 0), np.float32), self.record, self.labels))


def segment_scan(
    scan: Scan, models: Models, options: SegmentOptions | None = None, times: Timer | None = None
) -> Segmentation:
    """Segment a scan; where a GPU's memory does not suffice, on the CPU, with a warning.

    Parameters
    ----------
    scan
        From :func:`synthseg_core.images.reading.read_scan`, read with the same quirks.
    models
        From :func:`synthseg_core.models.loading.load_models`; parcels and scores are computed if it holds their models.
    options
        What the user asks for; ``None``: the defaults.
    times
        Collects seconds by phase; ``None``: whoever collects at the time.

    Raises
    ------
    InputError
        If the scan cannot be brought to the network's grid.
    """
    options, times = options or SegmentOptions(), times or current()
    with explained_exhaustion(scan.source):
        try:
            return _segment(scan, models, options, times)
        except torch.OutOfMemoryError:  # a GPU's: what the machine itself lacks is another error
            if models.segmentation.is_on_cpu:
                raise
        torch.cuda.empty_cache()
        result = _segment(scan, models.on_cpu(), options, times)
        return replace(result, warnings=(*result.warnings, GPU_EXHAUSTED))


def _segment(scan: Scan, models: Models, options: SegmentOptions, times: Timer) -> Segmentation:
    card = models.segmentation.card
    segmenter = segmenter_of(models.segmentation)
    with times.phase("conform"):
        conformed = segmenter.conform(scan, options)
        answer = conformed.answer or answer_grid(scan, conform_config(card, options), conformed.record)
    _require_memory(scan, models, segmenter, conformed.record, options)
    with times.phase("network"):
        found = segmenter.answer(conformed, options, models.companions)
    with times.phase("clean-up"):
        structures = found.structures(card, conformed.record, options)
    parcels = None
    if models.parcellation is not None:
        with times.phase("parcels"):
            parcels = _parcels(structures.labels, conformed, found, models, options)
    quality = None
    if models.quality is not None:
        with times.phase("quality"):
            quality = quality_scores(models.quality, found.class_map, card.labels)
    with times.phase("clean-up"):
        label_map = _label_map(structures, parcels, conformed.record, answer)
        counted = structures.labels if answer is conformed.record.grid else label_map.data
        hard = hard_volumes(counted, card.labels, voxel_volume(answer, options.quirks))
    volumes = _volumes(structures, hard, parcels, models, conformed.record, options.quirks)
    return Segmentation(
        labels=card.labels,
        label_map=label_map,
        volumes=volumes,
        record=conformed.record,
        answer=answer,
        structures=structures.labels,
        scores=structures.scores,
        decision=found.class_map,
        quality=quality,
        resampled=conformed.resampled,
        warnings=(*scan.warnings, *conformed.warnings, *models.warnings, *volume_warnings(volumes, card)),
    )


def decision_of(result: Segmentation, basis: MadeFrom) -> ClassMaps:
    """Return what a segmentation leaves for parcels and scores; see :mod:`synthseg_core.segmentation.class_maps`."""
    cortex = {label: side for side, label in CORTEX_LABELS.items()}
    return ClassMaps(
        channels=result.decision,
        structures=channels_of(result.structures, result.labels),
        cortex_mm3={cortex[row.label]: row.soft_mm3 for row in result.volumes.rows if row.label in cortex},
        record=result.record,
        basis=basis,
    )


def scan_at_answer(scan: Scan, result: Segmentation, quirks: Quirks = NATIVE) -> Volume | None:
    """Return the scan on the grid of the label map, to look at them together; ``None`` where that is its own grid."""
    if result.answer is result.record.grid:
        return result.resampled
    return scan_on(scan, result.answer, result.record, quirks)


def _require_memory(
    scan: Scan, models: Models, segmenter: Segmenter, record: ConformRecord, options: SegmentOptions
) -> None:
    card, shape = models.segmentation.card, record.padded_shape
    text = f"{' x '.join(map(str, shape))} voxels of {card.grid.voxel_size_mm:g} mm for model {card.name}"
    flags = {"whole_posteriors": options.posteriors, "overlapped": options.overlapped}
    needed = segmentation_bytes(models, segmenter.network_bytes(shape, options), record, **flags)
    memory.require(needed, scan.source, text, options.memory_bytes)


def _parcels(
    labels: np.ndarray, conformed: Conformed, found: Answer, models: Models, options: SegmentOptions
) -> ParcelMap:
    """Divide the cortex while the posteriors of its parcels arrive; they are never held."""
    assert models.parcellation is not None
    parcels = ParcelRows(labels, models.parcellation.card.labels, conformed.record.pad_start, options.quirks)
    table = models.segmentation.card.labels
    blur = not (options.quirks.flags_change_blur and models.quality is not None)
    stream_parcel_posteriors(models.parcellation, conformed.image, found.parcel_map, table, parcels.take, blur=blur)
    return parcels.result()


def _volumes(
    structures: Structures,
    hard: np.ndarray,
    parcels: ParcelMap | None,
    models: Models,
    record: ConformRecord,
    quirks: Quirks,
) -> VolumeTable:
    card, voxel_mm3 = models.segmentation.card, voxel_volume(record.grid, quirks)
    single = quirks.float32_volumes and record.crop is None
    soft = structures.scores.soft_voxels(single_precision=single) * voxel_mm3
    groups = [(card.labels, soft, hard)]
    if parcels is not None and models.parcellation is not None:
        table = models.parcellation.card.labels
        cortex = {side: float(soft[channel]) for side, channel in card.labels.cortex_channels().items()}
        scaled = parcel_volumes(table, parcels.soft_voxels, cortex)
        groups.append((table, scaled, hard_volumes(parcels.label_map, table, voxel_mm3)))
    inference = card.inference
    return volume_table(*groups, total_intracranial=inference.total_intracranial, total_of=inference.total_of)


def _label_map(structures: Structures, parcels: ParcelMap | None, record: ConformRecord, answer: Grid) -> Volume:
    """Return the label map on the grid of the answer, in the scan's axis order."""
    if answer is not record.grid:  # cards refuse parcels here
        return structures.scores.label_map_on(answer)
    labels = structures.labels if parcels is None else parcels.label_map
    return Volume(record.to_source_order(record.paste_labels(labels)), record.grid_affine)
