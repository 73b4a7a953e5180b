"""Tissues of a whole head around a segmentation of the brain: one label map of two models.

Where the segmentation of the brain has a label it stays; elsewhere stands the answer of the head model, moved by an
offset, so that every value says which model it came from. Nothing is filled or smoothed in between.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthseg_core.errors import GeometryError, ModelError
from synthseg_core.images.volume import Volume
from synthseg_core.labels.table import LabelTable
from synthseg_core.labels.viewers import Meaning, meanings

HEAD_OFFSET = 600
"""Added to labels of the head model: above the structures of SynthSeg, below its parcels."""
_SAME_PLACE_MM = 1e-3
_LARGEST_HEAD_LABEL = 399  # 1000 is the first parcel


def merge_head(brain: Volume, head: Volume, subject: object) -> Volume:
    """Put the labels of a head model around those of the brain.

    Parameters
    ----------
    brain : (I, J, K)
        Label map of the brain; 0 is free.
    head : (I, J, K)
        Label map of the head model on the same grid.
    subject
        What messages are about: the file of ``brain``.

    Returns
    -------
    (I, J, K) int32

    Raises
    ------
    GeometryError
        If the grids differ.
    """
    require_grid(brain, head, subject)
    labels = np.asarray(head.data, dtype=np.int32)
    around = np.where(labels != 0, labels + HEAD_OFFSET, 0)
    return Volume(np.where(brain.data != 0, np.asarray(brain.data, dtype=np.int32), around), brain.affine)


def require_grid(brain: Volume, scan: Volume, subject: object) -> None:
    """Refuse a label map that does not lie on the grid of a scan with ``GeometryError``."""
    if brain.shape != scan.shape or not np.allclose(brain.affine, scan.affine, rtol=0, atol=_SAME_PLACE_MM):
        raise GeometryError(
            subject,
            found=f"a grid of {' x '.join(map(str, brain.shape))} voxels that is not the scan's",
            expected=f"the scan's own grid, {' x '.join(map(str, scan.shape))} voxels",
            remedy="give the label map on the scan's own grid (synthseg segment --dseg)",
        )


def merged_meanings(brains: Sequence[LabelTable], head: LabelTable) -> tuple[Meaning, ...]:
    """Return the values of merged label maps, ascending; ``ModelError`` if those of the models may meet.

    Parameters
    ----------
    brains
        Tables of the models of the brain, one for all maps, or of several.
    head
        That of the model of the head.
    """
    inner = [label for brain in brains for label in brain.labels]
    if max(head.labels) > _LARGEST_HEAD_LABEL or any(
        HEAD_OFFSET <= label <= HEAD_OFFSET + _LARGEST_HEAD_LABEL for label in inner
    ):
        raise ModelError(
            head.name,
            found=f"labels up to {max(head.labels)} around labels up to {max(inner)}",
            expected=f"head labels up to {_LARGEST_HEAD_LABEL}, and no brain label from {HEAD_OFFSET} to 999",
            remedy="choose other models",
        )
    rows = zip(head.labels[1:], head.names[1:], head.sides[1:], head.counterparts[1:], strict=True)
    around = [Meaning(n + HEAD_OFFSET, f"head: {name}", side, other + HEAD_OFFSET) for n, name, side, other in rows]
    inside = [Meaning(e.label, e.name, e.side, e.counterpart) for e in meanings(brains)]
    return (*inside, *sorted(around, key=lambda entry: entry.label))
