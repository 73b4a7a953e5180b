"""Doubts about a result: an empty or implausible segmentation is reported, never passed on in silence."""

from __future__ import annotations

from synthseg_core.models.card import ModelCard
from synthseg_core.segmentation.volumes import VolumeTable

_MM3_PER_ML = 1000.0


def doubts(volumes: VolumeTable, card: ModelCard) -> tuple[str, ...]:
    """Return warnings about a volume table, one line each.

    A model card may give the range of total volumes that a whole head can have (``plausible_total_ml``) and so say
    when a scan is cut off, badly placed or of something else.
    """
    structures = [row for row in volumes.rows if row.label in card.labels.labels]
    labelled_mm3 = sum(row.hard_mm3 or 0.0 for row in structures)
    if not labelled_mm3 > 0:
        return ("the segmentation is empty: no structure was found",)
    warnings = []
    total_ml = sum(row.soft_mm3 for row in structures) / _MM3_PER_ML
    if card.plausible_total_ml is not None:
        low, high = card.plausible_total_ml
        if not low <= total_ml <= high:
            warnings.append(
                f"all structures together have {total_ml:.0f} ml, outside {low:g} to {high:g} ml: "
                "is the whole head in the field of view, with the right voxel size?"
            )
    if missing := [row.name for row in structures if row.hard_mm3 == 0]:
        warnings.append(
            f"no voxel of {', '.join(missing[:5])}" + (f" and {len(missing) - 5} more" * (len(missing) > 5))
        )
    return tuple(warnings)
