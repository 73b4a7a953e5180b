"""Parcels at once: the posteriors of a whole grid, which the program never holds, and what is made of them."""

from __future__ import annotations

import numpy as np

from synthseg_core.labels.table import LabelTable
from synthseg_core.models.loading import LoadedModel
from synthseg_core.quirks import NATIVE, Quirks
from synthseg_core.segmentation.parcels import ParcelMap, ParcelRows
from synthseg_core.segmentation.synthseg import stream_parcel_posteriors


def divide_cortex(
    label_map: np.ndarray, posteriors: np.ndarray, table: LabelTable, quirks: Quirks = NATIVE
) -> ParcelMap:
    """Give all rows of (M, I, J, K) at once; no padding."""
    rows = ParcelRows(label_map, table, quirks=quirks)
    rows.take(0, len(label_map), posteriors)
    return rows.result()


def parcel_posteriors(
    model: LoadedModel, image: np.ndarray, class_map: np.ndarray, table: LabelTable, *, blur: bool
) -> np.ndarray:
    """Collect the rows of a parcellation network, (M, I, J, K) on the padded grid."""
    result = np.full((len(model.card.labels), *image.shape), np.nan, np.float32)

    def write(start: int, stop: int, rows: np.ndarray) -> None:
        result[:, start:stop] = rows

    stream_parcel_posteriors(model, image, class_map, table, write, blur=blur)
    return result
