"""Overlap of two label maps by label: voxels in each, voxels in both, Dice. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthseg_core.errors import GeometryError

REFERENCE_EPSILON = 1e-5
"""Added to the denominator of Dice by the reference implementation, where labels absent from both maps get 0."""

_Array = np.ndarray


@dataclass(frozen=True)
class Overlap:
    """Voxel counts of two label maps.

    Parameters
    ----------
    labels
        The values that were counted, in the order in which they were asked for.
    first, second, both : (N,) int64
        Voxels of each label in the first map, in the second, and in both at once.
    """

    labels: tuple[int, ...]
    first: _Array
    second: _Array
    both: _Array

    @property
    def dice(self) -> _Array:
        """Dice of each label, (N,) float64: 0 if one map lacks it, NaN if both do."""
        with np.errstate(invalid="ignore"):
            return 2 * self.both / (self.first + self.second)

    @property
    def reference_dice(self) -> _Array:
        """Dice as the reference computes it, (N,): never NaN, and a little below 1 at best."""
        return 2 * self.both / (self.first + self.second + REFERENCE_EPSILON)


def overlap(first: _Array, second: _Array, labels: Sequence[int], ignore: _Array | None = None) -> Overlap:
    """Count the voxels of labels in two maps.

    Parameters
    ----------
    first, second : (I, J, K)
        Label maps on one grid, integers of 0 and above.
    labels
        Values to count; all others count as voxels of no label.
    ignore : (I, J, K) bool
        Voxels that are left out of both maps.

    Raises
    ------
    GeometryError
        If the shapes differ.
    """
    if first.shape != second.shape or (ignore is not None and ignore.shape != first.shape):
        shapes = [array.shape for array in (first, second, ignore) if array is not None]
        raise GeometryError(
            "overlap",
            found=f"arrays of the shapes {', '.join(map(str, shapes))}",
            expected="one shape",
            remedy="bring the label maps to one grid first",
        )
    counts = joint_counts(first, second, labels, ignore)
    inside = slice(0, len(labels))
    return Overlap(
        tuple(labels),
        counts[inside].sum(axis=1),
        counts[:, inside].sum(axis=0),
        counts.diagonal()[inside].copy(),
    )


def dice_by_label(first: _Array, second: _Array, labels: Sequence[int], ignore: _Array | None = None) -> _Array:
    """Return the Dice of each label, (N,): 0 if one map lacks it, NaN if both do; see :func:`overlap`."""
    return overlap(first, second, labels, ignore).dice


def joint_counts(first: _Array, second: _Array, labels: Sequence[int], ignore: _Array | None = None) -> _Array:
    """Count the voxels of each pair of labels, (N + 1, N + 1); the last row and column are all other values.

    Parameters
    ----------
    first, second : (I, J, K)
        Label maps on one grid, integers of 0 and above.
    labels
        Values to count.
    ignore : (I, J, K) bool
        Voxels that are left out of both maps.
    """
    size = len(labels) + 1
    codes = _codes(labels)
    counts = np.zeros(size * size, dtype=np.int64)
    for plane in range(len(first)):  # a plane at a time, since joint codes take eight bytes a voxel
        kept = slice(None) if ignore is None else ~ignore[plane]
        pairs = _coded(first[plane][kept], codes) * size + _coded(second[plane][kept], codes)
        counts += np.bincount(pairs.ravel(), minlength=size * size)
    return counts.reshape(size, size)


def _codes(labels: Sequence[int]) -> _Array:
    """Return a table from value to position in ``labels``, ending with an entry that stands for all larger values."""
    codes = np.full(max(labels, default=0) + 2, len(labels), dtype=np.int64)
    codes[list(labels)] = np.arange(len(labels))
    return codes


def _coded(values: _Array, codes: _Array) -> _Array:
    return codes[np.minimum(values, len(codes) - 1)]
