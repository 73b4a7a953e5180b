"""Connected components of masks: 6-neighbourhood (faces), exact ties, working only where the mask is set."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

Box = tuple[slice, slice, slice]


def bounding_box(mask: np.ndarray) -> Box | None:
    """Return the smallest box that holds every set voxel of ``mask`` (I, J, K); ``None`` if there is none."""
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hits = np.flatnonzero(mask.any(axis=others))
        if hits.size == 0:
            return None
        box.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return box[0], box[1], box[2]


def largest_component(mask: np.ndarray, centre: tuple[float, float, float] | None = None) -> np.ndarray:
    """Keep the largest group of face-connected voxels.

    Parameters
    ----------
    mask : (I, J, K)
        Boolean; left as it is.
    centre
        Point in voxels of ``mask``. Of components of equal size the one nearest to it wins (sum of squared distances),
        which does not depend on the direction of the axes when the point is the middle of the grid. Without it, the
        first component in array order wins, as in the reference.

    Returns
    -------
    (I, J, K)
        Boolean; empty where ``mask`` is empty.
    """
    result = np.zeros(mask.shape, dtype=bool)
    box = bounding_box(mask)
    if box is None:
        return result
    components = np.empty(result[box].shape, dtype=np.int32)
    ndimage.label(mask[box], output=components)
    if components.max() == 1:
        result[box] = mask[box]
        return result
    sizes = np.bincount(components.ravel())[1:]
    winner = int(np.argmax(sizes)) + 1
    if centre is not None:
        offset = [c - axis.start for c, axis in zip(centre, box, strict=True)]
        winner = _nearest(components, sizes == sizes.max(), offset)
    result[box] = components == winner
    return result


def _nearest(components: np.ndarray, candidates: np.ndarray, centre: list[float]) -> int:
    """Return the candidate (``candidates[label - 1]``) with the smallest sum of squared distances to ``centre``.

    The sums are exact for centres at whole and half voxels, so equal distances stay equal whatever the axis order.
    """
    labels = np.flatnonzero(candidates) + 1
    if labels.size == 1:
        return int(labels[0])
    voxels = np.nonzero(np.isin(components, labels))
    squared = sum((axis - c) ** 2 for axis, c in zip(voxels, centre, strict=True))
    spread = np.bincount(components[voxels], weights=squared, minlength=candidates.size + 1)
    return int(labels[np.argmin(spread[labels])])
