"""Volumes, soft (sums of posteriors) and hard (voxel counts), their table, and warnings about them; mm³."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthseg_core.errors import GeometryError
from synthseg_core.images.affines import shear_factor
from synthseg_core.images.grids import Grid
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import ModelCard
from synthseg_core.quirks import NATIVE, Quirks
from synthseg_core.system.tables import format_tsv

TOTAL_NAME = "total intracranial"
_MM3_PER_ML = 1000.0
COLUMNS = ("index", "name", "hemisphere", "soft_volume_mm3", "hard_volume_mm3")


@dataclass(frozen=True)
class StructureVolume:
    """Size of one structure.

    Parameters
    ----------
    label
        Value in label maps; ``None`` for a sum of structures.
    name
        Structure name.
    side
        ``left``, ``right`` or ``neutral``.
    soft_mm3
        Sum of the posteriors, mm³. Not a count of labelled voxels: it follows partial volumes.
    hard_mm3
        Labelled voxels, mm³; ``None`` where they were not counted.
    """

    label: int | None
    name: str
    side: str
    soft_mm3: float
    hard_mm3: float | None = None


@dataclass(frozen=True)
class VolumeTable:
    """Volumes of one scan, in the order of the columns of the reference's table."""

    rows: tuple[StructureVolume, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Structure names."""
        return tuple(row.name for row in self.rows)

    @property
    def soft_mm3(self) -> tuple[float, ...]:
        """Soft volumes, mm³."""
        return tuple(row.soft_mm3 for row in self.rows)

    def to_tsv(self) -> str:
        """Return the table as text, one structure a row, units in the header, volumes to 0.001 mm³."""
        return format_tsv((_cells(row) for row in self.rows), COLUMNS)


def soft_volumes(posteriors: np.ndarray, voxel_mm3: float, *, single_precision: bool = False) -> np.ndarray:
    """Sum posteriors over space, in float64.

    Parameters
    ----------
    posteriors : (N, I, J, K)
        Class probabilities; they sum to one over ``N``.
    voxel_mm3
        Volume of a voxel, from :func:`voxel_volume`.
    single_precision
        Add voxel by voxel in float32 instead, as the reference does (quirk ``float32_volumes``).

    Returns
    -------
    (N,)
        Volumes, mm³, in channel order, background included.
    """
    if single_precision:
        sums = [_one_after_the_other(channel) for channel in posteriors]
    else:
        sums = [np.sum(channel, dtype=np.float64) for channel in posteriors]
    return np.array(sums) * voxel_mm3


def _one_after_the_other(channel: np.ndarray) -> float:
    """Add up float32 values in array order; NumPy's own sum adds in pairs, its running totals do not."""
    values = channel[channel != 0]  # zeros change nothing, and after clean-up most values are zero
    return float(np.cumsum(values, dtype=np.float32)[-1]) if values.size else 0.0


def hard_volumes(label_map: np.ndarray, table: LabelTable, voxel_mm3: float) -> np.ndarray:
    """Count the voxels of each label, plane by plane; (N,) mm³ in channel order, background included."""
    counts = np.zeros(max(table.labels) + 1, dtype=np.int64)
    for plane in label_map:
        values = plane[plane < counts.size]
        counts += np.bincount(values.ravel(), minlength=counts.size)
    return counts[list(table.labels)] * voxel_mm3


def parcel_volumes(table: LabelTable, soft_voxels: np.ndarray, cortex_mm3: Mapping[str, float]) -> np.ndarray:
    """Scale sums of parcel posteriors so that the parcels of each side add up to the cortex of that side.

    Parameters
    ----------
    table
        The M labels of the parcels.
    soft_voxels : (M,)
        Sums of the parcel posteriors, any unit; the background is ignored.
    cortex_mm3
        Soft volume of the cortex by side, mm³.

    Returns
    -------
    (M,)
        Volumes, mm³; 0 for the background, and for all parcels of a side that has none.
    """
    result = np.zeros(len(table))
    for side, volume in cortex_mm3.items():
        channels = [k for k in range(1, len(table)) if table.sides[k] == side]
        total = soft_voxels[channels].sum()
        if total != 0:
            result[channels] = soft_voxels[channels] / total * volume
    return result


def volume_table(
    *structures: tuple[LabelTable, Sequence[float] | np.ndarray, Sequence[float] | np.ndarray | None],
    total_intracranial: bool,
    total_of: Collection[int] | None = None,
) -> VolumeTable:
    """Put volumes in order: the total if wanted, then each group of structures by ascending label.

    Parameters
    ----------
    structures
        Table, soft volumes and hard volumes (or ``None``), mm³, in channel order with background; first the
        segmentation, then the parcels if there are any.
    total_intracranial
        Whether to start with the sum of the first group (cerebrospinal fluid included where the model has it).
    total_of
        Labels that this sum is of; ``None``: all of the group.
    """
    groups = [_rows(*group) for group in structures]
    summed = [row for row in groups[0] if total_of is None or row.label in total_of]
    total = [_total(summed)] if total_intracranial else []
    return VolumeTable((*total, *(row for group in groups for row in group)))


def voxel_volume(grid: Grid, quirks: Quirks = NATIVE) -> float:
    """Return the volume of a voxel of a grid, mm³: the product of its edges, less what shear takes away.

    With the quirk ``ignore_shear`` nothing is taken away.

    Raises
    ------
    GeometryError
        If an edge is not positive and finite.
    """
    if not all(math.isfinite(edge) and edge > 0 for edge in grid.voxel_size):
        raise GeometryError(
            "voxel size",
            found=f"{' x '.join(f'{edge:g}' for edge in grid.voxel_size)} mm",
            expected="three positive, finite edges",
            remedy="repair the header of the scan",
        )
    return float(np.prod(grid.voxel_size)) * (1.0 if quirks.ignore_shear else shear_factor(grid.affine))


def _rows(
    table: LabelTable, soft: Sequence[float] | np.ndarray, hard: Sequence[float] | np.ndarray | None
) -> list[StructureVolume]:
    rows = [
        StructureVolume(
            label=table.labels[channel],
            name=table.names[channel],
            side=table.sides[channel],
            soft_mm3=float(soft[channel]),
            hard_mm3=None if hard is None else float(hard[channel]),
        )
        for channel in range(1, len(table))
    ]
    return sorted(rows, key=lambda row: row.label or 0)


def _total(rows: list[StructureVolume]) -> StructureVolume:
    hard = [row.hard_mm3 for row in rows if row.hard_mm3 is not None]
    return StructureVolume(
        label=None,
        name=TOTAL_NAME,
        side="neutral",
        soft_mm3=float(np.sum([row.soft_mm3 for row in rows])),
        hard_mm3=float(np.sum(hard)) if hard else None,
    )


def _cells(row: StructureVolume) -> dict[str, object]:
    return {
        "index": row.label,
        "name": row.name,
        "hemisphere": None if row.side == "neutral" else row.side,
        "soft_volume_mm3": f"{row.soft_mm3:.3f}",
        "hard_volume_mm3": None if row.hard_mm3 is None else f"{row.hard_mm3:.3f}",
    }


def volume_warnings(volumes: VolumeTable, card: ModelCard) -> tuple[str, ...]:
    """Return warnings about a volume table, one line each.

    A model card may give the range of total volumes that a whole head can have (``plausible_total_ml``) and so say
    when a scan is cut off, badly placed or of something else.
    """
    structures = [row for row in volumes.rows if row.label in card.labels.labels]
    labelled_mm3 = sum(row.hard_mm3 or 0.0 for row in structures)
    if not labelled_mm3 > 0:
        return ("the segmentation is empty: no structure was found",)
    warnings: list[str] = []
    total_ml = sum(row.soft_mm3 for row in structures if row.label in card.total_labels) / _MM3_PER_ML
    if card.plausible_total_ml is not None:
        low, high = card.plausible_total_ml
        if not low <= total_ml <= high:
            warnings.append(
                f"{_total_words(card)} together have {total_ml:.0f} ml, outside {low:g} to {high:g} ml: "
                "is the whole head in the field of view, with the right voxel size?"
            )
    inside = set(card.total_labels)
    for within, note in ((True, ""), (False, ", which are not counted as brain")):
        if missing := [row.name for row in structures if row.hard_mm3 == 0 and (row.label in inside) == within]:
            more = f" and {len(missing) - 5} more" * (len(missing) > 5)
            warnings.append(f"no voxel of {', '.join(missing[:5])}{more}{note}")
    return tuple(warnings)


def _total_words(card: ModelCard) -> str:
    return "all structures" if card.inference.total_of is None else "the structures of the intracranial volume"
