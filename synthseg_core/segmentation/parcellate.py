"""Divide the cortex of a scan that was segmented earlier: its parcels, from the scan and the stored decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthseg_core.errors import InputError
from synthseg_core.images.grids import Grid
from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.card import ModelCard
from synthseg_core.models.loading import LoadedModel
from synthseg_core.networks.devices import explained_exhaustion
from synthseg_core.segmentation.class_maps import ClassMaps
from synthseg_core.segmentation.conform import conform_to
from synthseg_core.segmentation.memory_estimate import parcellation_bytes
from synthseg_core.segmentation.parcels import (
    ParcelRows,
    SparsePosteriors,
    Target,
    cortex_of,
    needed_voxels,
    parcels_on,
)
from synthseg_core.segmentation.segmenter import SegmentOptions, conform_config
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
from synthseg_core.system.timing import current
from synthseg_core.system.words import counted

# Files keep affines as float32, or as angles and edges; grids that differ by less are the same one.
_SAME_AFFINE_MM = 1e-3


@dataclass(frozen=True)
class LabelMapOn:
    """A segmentation of the scan and the grid that it lies on.

    Parameters
    ----------
    volume
        Labels in the scan's axis order.
    grid
        For instance ``record.source`` or ``record.isotropic_grid(1.0)`` of the decision's record.
    source
        The file, for messages.
    """

    volume: Volume
    grid: Grid
    source: object = "label map"


@dataclass(frozen=True)
class ScanParcels:
    """The parcels of one scan.

    Parameters
    ----------
    label_map : (I, J, K) int32
        On the network's grid, in the scan's axis order: structures, and parcels in place of the cortex.
    maps
        The same on every grid that was asked for.
    volumes
        Of the parcels; those of a side add up to the soft volume of its cortex.
    warnings
        What is doubtful about scan, weights and parcels, one line each.
    """

    label_map: Volume
    maps: tuple[Volume, ...]
    volumes: VolumeTable
    warnings: tuple[str, ...]


def parcellate_scan(
    scan: Scan, decision: ClassMaps, card: ModelCard, model: LoadedModel, maps: Sequence[LabelMapOn] = ()
) -> ScanParcels:
    """Divide the cortex into parcels.

    Label map and volumes are, bit for bit, those of :func:`synthseg_core.segmentation.segment.segment_scan` with the
    same models.

    Parameters
    ----------
    scan
        The scan that was segmented, read again.
    decision
        What its segmentation left.
    card
        Of the model that segmented it.
    model
        Its companion for parcels.
    maps
        The segmentation on other grids, to be given parcels as well.

    Raises
    ------
    InputError
        If scan, decision and label maps do not belong together, or memory does not suffice.
    """
    _require_grid(scan.source, scan.volume, decision.record.source, "the scan of this decision")
    for one in maps:
        _require_grid(one.source, one.volume, one.grid, "a segmentation of this scan")
    needed = parcellation_bytes(model.card, decision.record, [one.grid for one in maps])
    memory.require(needed, scan.source, f"parcels by model {model.card.name}")
    with explained_exhaustion(scan.source):
        return _parcellate(scan, decision, card, model, maps)


def require_same_file(decision: ClassMaps, scan: Scan, sha256: str) -> None:
    """Refuse another scan than the segmented one, also if it lies on the same grid."""
    if sha256 != decision.basis.scan_sha256:
        raise _stranger(scan.source, "another file than the one that was segmented", "the scan of this decision")


def _require_grid(source: object, found: Volume, expected: Grid, what: str) -> None:
    if found.shape != expected.shape:
        shapes = [" x ".join(map(str, shape)) for shape in (found.shape, expected.shape)]
        raise _stranger(source, f"{shapes[0]} voxels", f"{shapes[1]}: {what}")
    if not np.allclose(found.affine, expected.affine, rtol=0, atol=_SAME_AFFINE_MM):
        raise _stranger(source, "another position or orientation", what)


def _stranger(source: object, found: str, expected: str) -> InputError:
    remedy = "give files of the same scan, or segment it again"
    return InputError(source, found=found, expected=expected, remedy=remedy)


def _parcellate(
    scan: Scan, decision: ClassMaps, card: ModelCard, model: LoadedModel, maps: Sequence[LabelMapOn]
) -> ScanParcels:
    record, table = decision.record, model.card.labels
    with current().phase("conform"):
        conformed = conform_to(record, scan, conform_config(card, SegmentOptions(ct=decision.basis.ct)))
    targets = [_target(one, decision) for one in maps]
    rows = ParcelRows(decision.labels(), table, record.pad_start)
    kept = SparsePosteriors(needed_voxels(record.core_shape, targets), len(table), record.pad_start)

    def take(start: int, stop: int, posteriors: np.ndarray) -> None:
        rows.take(start, stop, posteriors)
        kept.take(start, stop, posteriors)

    with current().phase("parcels"):
        stream_parcel_posteriors(model, conformed.image, decision.channels, card.labels, take)
        parcels = rows.result()
        divided = [parcels_on(target, kept, table) for target in targets]
    soft = parcel_volumes(table, parcels.soft_voxels, decision.cortex_mm3)
    hard = hard_volumes(parcels.label_map, table, voxel_volume(record.grid))
    volumes = volume_table((table, soft, hard), total_intracranial=False)
    warnings = (*scan.warnings, *conformed.warnings, *model.weights.warnings)
    return ScanParcels(
        label_map=Volume(record.to_source_order(record.paste_labels(parcels.label_map)), record.grid_affine),
        maps=tuple(
            Volume(record.to_source_order(labels), one.grid.affine) for one, labels in zip(maps, divided, strict=True)
        ),
        volumes=volumes,
        warnings=(*warnings, *_left_over(parcels.label_map), *volume_warnings(volumes, model.card)),
    )


def _target(one: LabelMapOn, decision: ClassMaps) -> Target:
    labels = decision.record.orientation.to_ras(one.volume.data)
    return Target(labels, decision.record.samplings(one.grid))


def _left_over(labels: np.ndarray) -> tuple[str, ...]:
    """Return a warning if there is cortex for which the network knew no parcel at all."""
    count = int(np.count_nonzero(cortex_of(labels)))
    return (f"{counted(count, 'voxel')} of the cortex without a parcel, left as cortex",) if count else ()
