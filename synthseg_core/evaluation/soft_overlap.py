"""Soft Dice: how well posteriors agree with a reference label map, without a decision for one structure a voxel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthseg_core.errors import GeometryError, InputError
from synthseg_core.evaluation.comparison import LabelPair, Structure
from synthseg_core.images.affines import closest_ras, unit_columns
from synthseg_core.images.opening import open_image, read_channels

_PLACE_TOLERANCE_MM = 1e-2  # headers hold float32


def soft_dice(
    path: Path, channels: Sequence[int], pair: LabelPair, structures: Sequence[Structure]
) -> list[float | None]:
    """Return the soft Dice of structures; ``None`` where no channel belongs to one, or the reference lacks it.

    One channel at a time is in memory, and a map for each structure of several labels.

    Parameters
    ----------
    path
        Posteriors, 4-D, on the grid of the comparison in any order of axes.
    channels
        Label of each of them.
    pair
        The label maps, in RAS+ order.
    structures
        What is compared; posteriors of several labels are added up.

    Raises
    ------
    SynthSegError
        If the file is none of posteriors of so many labels, or lies on another grid.

    References
    ----------
    Twice the sum of products over the sum of squares, the Dice that SynthSeg is trained with (Billot et al., 2023).
    """
    opened = open_image(path)
    shape = tuple(opened.array.shape)
    if len(shape) != 4 or shape[3] != len(channels):
        raise InputError(
            path,
            found=f"an image of shape {' x '.join(map(str, shape))}",
            expected=f"4-D posteriors of {len(channels)} labels",
            remedy="give the labels of its channels with --posterior-labels",
        )
    orientation = closest_ras(unit_columns(opened.affine))
    grid = tuple(shape[axis] for axis in orientation.axes)
    affine = orientation.affine_to_ras(opened.affine, (shape[0], shape[1], shape[2]))
    if grid != pair.reference.shape or not np.allclose(affine, pair.affine, rtol=0, atol=_PLACE_TOLERANCE_MM):
        wanted = " x ".join(map(str, pair.reference.shape))
        raise GeometryError(
            path,
            found=f"posteriors on a grid of {' x '.join(map(str, grid))} voxels",
            expected=f"the grid of the comparison, {wanted} voxels at the same place",
            remedy="compare on the grid of the posteriors (--resample reference)",
        )
    sums = [_Sums(structure, channels, pair) for structure in structures]
    for label, channel in zip(channels, read_channels(opened), strict=True):
        posterior = orientation.to_ras(channel)
        for one in sums:
            one.add(label, posterior)
    return [one.dice for one in sums]


class _Sums:
    """What is known of one structure after some of the channels."""

    def __init__(self, structure: Structure, channels: Sequence[int], pair: LabelPair) -> None:
        self._pair = pair
        self._labels = structure.labels
        self._missing = [label for label in channels if label in structure.labels]
        self._held: np.ndarray | None = None
        self.dice: float | None = None

    def add(self, label: int, posterior: np.ndarray) -> None:
        """Take a channel; of the last one of the structure Dice follows."""
        if label not in self._missing:
            return
        self._missing.remove(label)
        self._held = posterior if self._held is None else self._held + posterior
        if not self._missing:
            self.dice = self._dice(self._held)
            self._held = None

    def _dice(self, posterior: np.ndarray) -> float | None:
        truth, ignore = np.isin(self._pair.reference, self._labels), self._pair.ignore
        kept = posterior if ignore is None else np.where(ignore, np.float32(0), posterior)
        truth = truth if ignore is None else truth & ~ignore
        volume = int(truth.sum())
        if not volume:
            return None
        squares = float(np.square(kept, dtype=np.float64).sum())
        return 2 * float(kept[truth].sum(dtype=np.float64)) / (volume + squares)
