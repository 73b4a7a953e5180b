"""From network posteriors to label maps: clean-up by connected components, normalisation, argmax.

Arrays are channels first, float32, and changed in place: the posteriors of a whole head take 1.25 GB, so no step holds
more than a few single volumes beside them. Steps and constants follow the post-processing of SynthSeg's ``predict``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthseg_core.errors import ModelError
from synthseg_core.images.affines import Shape3
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import CLEAN_UPS
from synthseg_core.quirks import NATIVE, Quirks
from synthseg_core.segmentation.channels import array_order_sum, most_probable, paired_sum, planes
from synthseg_core.segmentation.components import Box, bounding_box, largest_component

# Reference constants: the brain, and each class, is where the posteriors exceed a quarter; the fast modes drop every
# posterior up to a fifth.
FOREGROUND_THRESHOLD = 0.25
CLASS_THRESHOLD = 0.25
CHANNEL_THRESHOLD = 0.2

Point = tuple[float, float, float]
_EVERYWHERE: Box = (slice(None), slice(None), slice(None))


def clean_up(
    posteriors: np.ndarray, table: LabelTable, pad: tuple[Shape3, Shape3], mode: str, quirks: Quirks = NATIVE
) -> np.ndarray:
    """Remove islands and small posteriors, remove the padding, and make the channels sum to one.

    Parameters
    ----------
    posteriors : (N, I, J, K)
        On the padded grid, one channel per row of ``table``, background first; changed in place.
    table
        Labels of the channels.
    pad
        First voxel of the scan inside the padded grid, and one past its last.
    mode
        ``topology``: on the padded grid, keep the largest component of the foreground, then of each topology class
        above 0. ``threshold``: on the unpadded grid, keep the largest component of the foreground and drop small
        posteriors. ``none``: only normalise.
    quirks
        What to copy from the reference implementation.

    Returns
    -------
    (N, I', J', K')
        View of ``posteriors`` without the padding.

    Raises
    ------
    ModelError
        If the channels do not fit the table, ``topology`` is asked of a table without classes, or posteriors are
        not finite (unless the quirk ``propagate_nan`` is on).
    """
    _check_request(posteriors, table, mode)
    unpadded = unpad(posteriors, pad)
    padded = mode == "topology"
    working = posteriors if padded else unpadded
    centre = None if quirks.array_order_ties else _middle(unpadded.shape[1:], pad[0] if padded else (0, 0, 0))
    box = _EVERYWHERE if mode == "none" else _isolate(working, table, padded, quirks, centre)
    _normalise(working, box, table, quirks)
    return unpadded


def unpad(posteriors: np.ndarray, pad: tuple[Shape3, Shape3]) -> np.ndarray:
    """Return the view of (..., I, J, K) from the first voxel of the scan to its last; ``pad`` as in ``clean_up``."""
    return posteriors[(..., *(slice(start, stop) for start, stop in zip(*pad, strict=True)))]


def label_map_from(posteriors: np.ndarray, table: LabelTable) -> np.ndarray:
    """Return the label of the most probable channel of (N, I, J, K), the first one on ties; int32."""
    check_channels(posteriors, table)
    return np.asarray(table.labels, dtype=np.int32)[most_probable(posteriors)]


def _check_request(posteriors: np.ndarray, table: LabelTable, mode: str) -> None:
    check_channels(posteriors, table)
    if mode not in CLEAN_UPS:
        raise ModelError("clean_up", found=mode, expected=" or ".join(CLEAN_UPS), remedy="correct the model card")
    if mode == "topology" and not table.topology_classes:
        raise ModelError(
            table.name,
            found="no topology classes",
            expected="a topology_class column",
            remedy="add the column, or set clean_up to threshold or none",
        )


def check_channels(posteriors: np.ndarray, table: LabelTable) -> None:
    """Refuse posteriors that have not one channel per label."""
    if len(posteriors) != len(table):
        raise ModelError(
            table.name,
            found=f"{len(table)} labels for {len(posteriors)} channels",
            expected="one label per channel",
            remedy="use the label table that the network was trained with",
        )


def _isolate(
    posteriors: np.ndarray, table: LabelTable, by_class: bool, quirks: Quirks, centre: Point | None
) -> Box | None:
    """Zero what ``clean_up`` removes; return the box outside which all channels but the background are now zero."""
    foreground = _main_component(posteriors, table, quirks, centre)
    box = bounding_box(foreground)
    _zero_outside(posteriors, box)
    if box is not None and by_class:
        _keep_classes(posteriors, foreground, box, table, centre)
    elif box is not None:
        _keep_large(posteriors[(slice(1, None), *box)], foreground[box])
    return box


def _main_component(posteriors: np.ndarray, table: LabelTable, quirks: Quirks, centre: Point | None) -> np.ndarray:
    """Return the largest component of the foreground, (I, J, K) bool."""
    foreground = np.empty(posteriors.shape[1:], dtype=bool)
    for mask, plane in zip(foreground, planes(posteriors), strict=True):
        total = _sum_from(1, plane, table, quirks)
        _require_finite(total, quirks)
        np.greater(total, FOREGROUND_THRESHOLD, out=mask)
    return largest_component(foreground, centre)


def _sum_from(first: int, plane: np.ndarray, table: LabelTable, quirks: Quirks) -> np.ndarray:
    """Sum the channels from ``first`` (0 or 1) on; see the quirk ``array_order_ties``."""
    channels = list(plane[first:])
    if quirks.array_order_ties:
        return array_order_sum(channels)
    return paired_sum(channels, [partner - first for partner in table.flip_channels[first:]])


def _require_finite(total: np.ndarray, quirks: Quirks) -> None:
    if not quirks.propagate_nan and not np.isfinite(total).all():
        raise ModelError(
            "posteriors",
            found="NaN or infinity in the answer of the network",
            expected="probabilities",
            remedy="verify the weights file, and compute in float32",
        )


def _middle(shape: Sequence[int], start: Sequence[int]) -> Point:
    """Return the middle of the scan in voxels of a grid in which it begins at ``start``; it decides ties."""
    i, j, k = (a + (n - 1) / 2 for n, a in zip(shape, start, strict=True))
    return i, j, k


def _seen_from(box: Box, point: Point) -> Point:
    """Return a point in voxels of a box."""
    i, j, k = (p - axis.start for p, axis in zip(point, box, strict=True))
    return i, j, k


def _zero_outside(posteriors: np.ndarray, box: Box | None) -> None:
    """Set all channels but the background to zero outside the box; everywhere if there is none."""
    if box is None:
        posteriors[1:] = 0
        return
    inside: list[slice] = []
    for axis in box:
        posteriors[(slice(1, None), *inside, slice(0, axis.start))] = 0
        posteriors[(slice(1, None), *inside, slice(axis.stop, None))] = 0
        inside.append(axis)


def _keep_classes(
    posteriors: np.ndarray, foreground: np.ndarray, box: Box, table: LabelTable, centre: Point | None
) -> None:
    """Zero each channel outside the largest component of its class; class 0 only outside the foreground."""
    middle = None if centre is None else _seen_from(box, centre)
    for topology_class in sorted(set(table.topology_classes)):
        members = [
            posteriors[(channel, *box)]
            for channel, its_class in enumerate(table.topology_classes)
            if its_class == topology_class and channel > 0
        ]
        keep = foreground[box]
        if topology_class > 0:
            keep = largest_component(_any_above(members, CLASS_THRESHOLD) & keep, middle)
        for member in members:
            np.copyto(member, 0, where=~keep)


def _any_above(channels: list[np.ndarray], threshold: float) -> np.ndarray:
    result = np.zeros(channels[0].shape, dtype=bool)
    for channel in channels:
        result |= channel > threshold
    return result


def _keep_large(channels: np.ndarray, foreground: np.ndarray) -> None:
    """Zero the channels (C, I, J, K) outside the foreground and where they are small."""
    for channel in channels:
        np.copyto(channel, 0, where=~(foreground & (channel > CHANNEL_THRESHOLD)))


def _normalise(posteriors: np.ndarray, box: Box | None, table: LabelTable, quirks: Quirks) -> None:
    """Divide by the channel sum; outside the box only the background is above zero."""
    total = posteriors[0].copy()
    if box is not None:
        for sums, plane in zip(total[box], planes(posteriors[(slice(None), *box)]), strict=True):
            sums[...] = _sum_from(0, plane, table, quirks)
    _require_finite(total, quirks)
    empty = ~(total > 0)
    total[empty] = 1
    posteriors[0] /= total
    if box is not None:
        for channel in posteriors[(slice(1, None), *box)]:
            channel /= total[box]
    if empty.any():
        posteriors[:, empty] = np.nan if quirks.nan_on_zero_sum else 0
        posteriors[0, empty] += 1
