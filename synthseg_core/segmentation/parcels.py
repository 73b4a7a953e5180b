"""Parcels of the cortex: which parcel each voxel of the cortex belongs to, and how much of each parcel there is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from synthseg_core.labels.table import CORTEX_LABELS, LabelTable
from synthseg_core.quirks import NATIVE, Quirks
from synthseg_core.segmentation.channels import array_order_sum, planes
from synthseg_core.segmentation.cleanup import check_channels


@dataclass(frozen=True)
class Parcellation:
    """Label map with the cortex replaced by parcels.

    Parameters
    ----------
    label_map : (I, J, K)
        Labels, int32.
    soft_voxels : (M,)
        Sums of the normalised parcel posteriors, voxels, one per channel of the parcel table; 0 for the background.
    """

    label_map: np.ndarray
    soft_voxels: np.ndarray


def apply_parcellation(
    label_map: np.ndarray, posteriors: np.ndarray, table: LabelTable, quirks: Quirks = NATIVE
) -> Parcellation:
    """Give every voxel of the cortex the label of its most probable parcel.

    Left cortex becomes left parcels and right cortex right ones; parcel posteriors are normalised over the parcels of
    that side and summed inside the cortex. With the quirk ``loose_parcels`` they compete across the hemispheres and
    are summed everywhere, against a background of probability one outside the cortex.

    Planes along the first spatial axis do not depend on each other: slabs give the same answer as the whole when
    their maps are put together and their ``soft_voxels`` added up.

    Parameters
    ----------
    label_map : (I, J, K)
        Segmentation, unpadded.
    posteriors : (M, I, J, K)
        Answer of the parcellation network, unpadded, background first.
    table
        The M labels of the parcels.
    """
    check_channels(posteriors, table)
    return parcellate_planes(label_map, planes(posteriors), table, quirks)


def parcellate_planes(
    label_map: np.ndarray, posteriors: Iterable[np.ndarray], table: LabelTable, quirks: Quirks = NATIVE
) -> Parcellation:
    """Do what :func:`apply_parcellation` does, with posteriors that come as planes (M, J, K) along the first axis."""
    parcels = np.array(label_map, dtype=np.int32)
    soft_voxels = np.zeros(len(table))
    parcellate = _parcellate_loosely if quirks.loose_parcels else _parcellate_by_side
    for labels, plane in zip(parcels, posteriors, strict=True):
        soft_voxels += parcellate(labels, plane, table)
    return Parcellation(parcels, soft_voxels)


def candidates_of(table: LabelTable, side: str) -> list[int]:
    """Return the channels of the parcels that the cortex of a side can become."""
    return [k for k in range(1, len(table)) if table.sides[k] in (side, "neutral")]


def _parcellate_by_side(labels: np.ndarray, plane: np.ndarray, table: LabelTable) -> np.ndarray:
    """Replace the cortex in ``labels`` (J, K) in place, one side at a time; return the sums over it, voxels."""
    soft_voxels = np.zeros(len(table))
    for side, cortex in CORTEX_LABELS.items():
        channels = candidates_of(table, side)
        rows, columns = np.nonzero(labels == cortex)
        candidates = plane[channels][:, rows, columns].astype(np.float64)
        total = candidates.sum(axis=0)
        answered = total > 0
        rows, columns, candidates = rows[answered], columns[answered], candidates[:, answered] / total[answered]
        labels[rows, columns] = np.asarray(table.labels)[channels][candidates.argmax(axis=0)]
        soft_voxels[channels] += candidates.sum(axis=1)
    return soft_voxels


def _parcellate_loosely(labels: np.ndarray, plane: np.ndarray, table: LabelTable) -> np.ndarray:
    """Do the same as the reference: no hemispheres, sums over all voxels, float32."""
    cortex = np.isin(labels, list(CORTEX_LABELS.values()))
    channels = [(~cortex).astype(plane.dtype), *plane[1:]]
    with np.errstate(invalid="ignore"):
        normalised = np.stack(channels) / array_order_sum(channels)
    labels[cortex] = np.asarray(table.labels)[normalised[:, cortex].argmax(axis=0)]
    soft_voxels = normalised.sum(axis=(1, 2), dtype=np.float64)
    soft_voxels[0] = 0
    return soft_voxels
