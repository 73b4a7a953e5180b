"""How much memory a segmentation needs, beside the program itself, estimated before its network runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from synthseg_core.images.affines import Shape3
from synthseg_core.images.grids import Grid
from synthseg_core.models.card import ModelCard
from synthseg_core.models.loading import Models
from synthseg_core.networks.config import NetworkConfig, RegressorConfig
from synthseg_core.networks.regressor_inference import REGRESSOR_SLAB_BYTES
from synthseg_core.segmentation.quality import box_edge_of
from synthseg_core.segmentation.record import ConformRecord

_FLOAT64, _FLOAT32, _INT32, _UINT8 = 8, 4, 4, 1
# Beside the posteriors of the structures the second network was seen to take more than alone: 3.57 to 3.81 GiB were
# measured in all, 0.37 of them the program, on 192 x 256 x 192 voxels with the published networks.
_BESIDE_POSTERIORS = 1.1


def segmentation_bytes(
    models: Models, network: int, record: ConformRecord, *, whole_posteriors: bool, overlapped: bool
) -> int:
    """Estimate the memory at its peak, which comes with the network or with the answers that follow it.

    Parameters
    ----------
    models
        What will run.
    network
        Bytes that the segmentation's networks take; from :meth:`Segmenter.network_bytes`.
    record
        Of the conformed scan.
    whole_posteriors
        Whether posteriors will be asked for; those of a crop are then put back into the whole grid.
    overlapped
        Whether the next scan is read, and the previous one written, meanwhile. Both are taken to be of this size.
    """
    padded = math.prod(record.padded_shape)
    held = _scan_bytes(record) + _FLOAT64 * padded
    if overlapped:
        held += _FLOAT64 * math.prod(record.source_shape)
        # Results with posteriors are written before the next scan is computed.
        held += 0 if whole_posteriors else _scan_bytes(record) + _INT32 * math.prod(record.grid_shape)
    # Posteriors, the class maps that parcels and scores start from, label maps before and after.
    kept = (_FLOAT32 * len(models.segmentation.card.labels) + 2 * _UINT8 + 2 * _INT32) * padded
    if models.quality is not None:
        network = max(network, kept + quality_bytes(models.quality.card))
    if models.parcellation is not None:
        streamed = _streamed_bytes(models.parcellation.card, record.padded_shape)
        network = max(network, kept + int(_BESIDE_POSTERIORS * streamed))
    return held + max(network, _answer_bytes(len(models.segmentation.card.labels), record, whole_posteriors))


def unet_bytes(card: ModelCard, shape: Shape3) -> int:
    """Estimate the memory that the U-Nets of a card need for all posteriors of a padded grid.

    The posteriors and the finest skip tensor live at the same time; coarser levels and the temporaries of a slab add
    less than half of that (tests/benchmarks measures it).
    """
    maps = max(config.out_channels + config.finest_maps for config in _configs(card))
    return int(1.4 * _FLOAT32 * maps * math.prod(shape))


def scouting_bytes(card: ModelCard, record: ConformRecord) -> int:
    """Estimate the memory while a scout looks at a whole scan, before the field of view is cut out of it.

    Parameters
    ----------
    card
        Of the scout.
    record
        Of the conformed scan, not cropped.
    """
    whole = math.prod(record.padded_shape) + math.prod(record.core_shape)  # as conformed, and smoothed
    edge = card.grid.minimum_voxels
    return _scan_bytes(record) + _FLOAT64 * whole + unet_bytes(card, (edge, edge, edge))


def parcellation_bytes(card: ModelCard, record: ConformRecord, grids: Sequence[Grid]) -> int:
    """Estimate the memory for the parcels of a scan, starting from a stored decision.

    Parameters
    ----------
    card
        Of the parcellation model.
    record
        Of the scan.
    grids
        Where parcels are wanted, beside the network's grid; each holds a label map before and after.
    """
    (config,) = _configs(card)
    padded = math.prod(record.padded_shape)
    # Posteriors are kept for the surroundings of the cortex only, a fifth of a head at most.
    kept = _FLOAT32 * config.out_channels * math.prod(record.core_shape) // 5
    maps = 2 * _INT32 * sum(math.prod(grid.shape) for grid in (record.grid, *grids))
    network = _streamed_bytes(card, record.padded_shape)
    return _scan_bytes(record) + (_FLOAT64 + 2 * _UINT8) * padded + network + kept + maps


def quality_bytes(card: ModelCard) -> int:
    """Estimate the memory for the scores of a segmentation, starting from its class map.

    The cube of groups, the first level's features of a slab and its pooled map; blocks that a network averages first
    are a map of each group.
    """
    (config,) = _configs(card)
    assert isinstance(config, RegressorConfig)
    cube = box_edge_of(card) ** 3
    level = cube // config.pooling**3
    slab = min(REGRESSOR_SLAB_BYTES, _FLOAT32 * 6 * config.features * level)
    shares = _FLOAT32 * (config.in_channels * level + cube) if config.pooling > 1 else 0
    return _UINT8 * cube + shares + 3 * slab // 2 + _FLOAT32 * config.features * level // 8


def _streamed_bytes(card: ModelCard, shape: Shape3) -> int:
    """Return the bytes of a U-Net whose posteriors are handed on by rows.

    Skip tensor and input; coarser levels and the rows that are blurred add as much again: measured, 2.5 GB with the
    published network for parcels on 192 x 256 x 192 voxels beside the program.
    """
    (config,) = _configs(card)
    return 2 * _FLOAT32 * (config.in_channels + config.finest_maps) * math.prod(shape)


def _scan_bytes(record: ConformRecord) -> int:
    """Return the bytes of a scan, and of its resampled form where there is one."""
    voxels = math.prod(record.source_shape) + (math.prod(record.grid_shape) if record.resampled else 0)
    return _FLOAT64 * voxels


def _answer_bytes(classes: int, record: ConformRecord, whole_posteriors: bool) -> int:
    """Return the bytes of posteriors and label maps, those on the scan's own grid included."""
    core, grid, source = (math.prod(shape) for shape in (record.core_shape, record.grid_shape, record.source_shape))
    pasted = _FLOAT32 * classes * grid if whole_posteriors and record.crop is not None else 0
    return _FLOAT32 * classes * core + pasted + _INT32 * grid + (_INT32 + _UINT8) * source


def _configs(card: ModelCard) -> list[NetworkConfig]:
    return [spec.config for spec in card.networks]
