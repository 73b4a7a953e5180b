"""Compare a segmentation with a reference, structure by structure: Dice, volumes, surfaces.

A structure is one label, or several that count as one. What happens where a structure is absent is an explicit policy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from synthseg_core.errors import GeometryError
from synthseg_core.evaluation.overlap import Overlap, joint_counts
from synthseg_core.evaluation.surfaces import SurfaceDistances, surface_distances
from synthseg_core.images.affines import shear_factor, voxel_size

Empty: TypeAlias = Literal["absent", "reference"]
"""What an absent structure gets: no values, or those of the reference implementation."""
EMPTY: tuple[Empty, ...] = ("absent", "reference")

# Whether reference and segmentation have the structure -> what is remarked.
_REMARKS = {
    (True, True): "",
    (True, False): "absent in segmentation",
    (False, True): "absent in reference",
    (False, False): "absent in both",
}
# The reference implementation crops to the true foreground, ten voxels wider on each side; the longest side of that
# box stands for the distance to a structure that is not there.
_MARGIN_VOXELS = 10


@dataclass(frozen=True)
class Structure:
    """What is compared.

    Parameters
    ----------
    name
        For tables.
    labels
        Values in the label maps; several count as one structure.
    """

    name: str
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Options:
    """How two label maps are compared.

    Parameters
    ----------
    surfaces
        Whether to compute surface distances, which take most of the time.
    empty
        ``absent``: a structure that neither map has gets no values, one that only one map has gets a Dice of 0 and no
        distances. ``reference``: as the reference computes them, with its small number in the denominator of Dice: 0
        in both cases, and the longest side of the box around the head for a distance.
    """

    surfaces: bool = True
    empty: Empty = "absent"


@dataclass(frozen=True)
class Agreement:
    """How well one structure of a segmentation agrees with the reference.

    Parameters
    ----------
    structure
        Its name and labels.
    dice
        Twice the common volume over the sum of both volumes; NaN without value.
    reference_mm3, segmentation_mm3
        Volumes.
    distances
        Between the surfaces; ``None`` without value.
    remark
        Which side lacks the structure; empty if none does.
    soft_dice
        Of posteriors; ``None`` without them, or where the reference lacks the structure.
    """

    structure: Structure
    dice: float
    reference_mm3: float
    segmentation_mm3: float
    distances: SurfaceDistances | None = None
    remark: str = ""
    soft_dice: float | None = None

    @property
    def volume_error_mm3(self) -> float:
        """Segmentation minus reference."""
        return self.segmentation_mm3 - self.reference_mm3

    @property
    def volume_error_percent(self) -> float:
        """Segmentation minus reference, relative to the reference; NaN if that is empty."""
        return 100 * self.volume_error_mm3 / self.reference_mm3 if self.reference_mm3 else math.nan

    @property
    def volume_similarity(self) -> float:
        """One minus the difference of volumes over their sum: 1 if they are equal, 0 if one is empty."""
        total = self.reference_mm3 + self.segmentation_mm3
        return 1 - abs(self.volume_error_mm3) / total if total else math.nan


@dataclass(frozen=True)
class LabelPair:
    """Two label maps on one grid.

    Parameters
    ----------
    reference, segmentation : (I, J, K) int32
        Labels.
    affine : (4, 4)
        Of both, voxel to world, mm.
    ignore : (I, J, K) bool
        Voxels left out of both; ``None``: none.

    Raises
    ------
    GeometryError
        If shapes differ.
    """

    reference: np.ndarray
    segmentation: np.ndarray
    affine: np.ndarray
    ignore: np.ndarray | None = None

    def __post_init__(self) -> None:
        arrays = [a for a in (self.reference, self.segmentation, self.ignore) if a is not None]
        if len({array.shape for array in arrays}) > 1:
            raise GeometryError(
                "comparison",
                found=f"arrays of the shapes {', '.join(str(array.shape) for array in arrays)}",
                expected="one shape",
                remedy="bring the label maps to one grid first",
            )

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """Values that occur in either map, without background, ascending."""
        counts = np.zeros(1, dtype=np.int64)
        for array in (self.reference, self.segmentation):
            more = np.bincount((array if self.ignore is None else array[~self.ignore]).ravel(), minlength=len(counts))
            more[: len(counts)] += counts
            counts = more
        return tuple(value for value in np.flatnonzero(counts).tolist() if value)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel, also where axes are sheared."""
        return math.prod(voxel_size(self.affine)) * shear_factor(self.affine)

    @cached_property
    def _joint(self) -> np.ndarray:
        """Voxels of each pair of labels, in the order of ``labels``."""
        return joint_counts(self.reference, self.segmentation, self.labels, self.ignore)

    def overlap(self, labels: Sequence[int]) -> Overlap:
        """Count the voxels of labels that are taken as one."""
        known = [self.labels.index(label) for label in labels if label in self.labels]
        counts = self._joint[known].sum(), self._joint[:, known].sum(), self._joint[np.ix_(known, known)].sum()
        return Overlap(tuple(labels), *(np.array([count]) for count in counts))

    @cached_property
    def _boxes(self) -> dict[int, np.ndarray]:
        """First and last voxel of each value in either map, (2, 3)."""
        from scipy.ndimage import find_objects

        boxes: dict[int, np.ndarray] = {}
        for array in (self.reference, self.segmentation):
            for value, slices in enumerate(find_objects(array), start=1):
                if slices is not None:
                    box = np.array([[s.start for s in slices], [s.stop for s in slices]])
                    other = boxes.get(value, box)
                    boxes[value] = np.array([np.minimum(box[0], other[0]), np.maximum(box[1], other[1])])
        return boxes


def compare(pair: LabelPair, structures: Sequence[Structure], options: Options | None = None) -> list[Agreement]:
    """Compare two label maps.

    Parameters
    ----------
    pair
        The maps.
    structures
        What to compare, in the order of the result.
    options
        ``None``: with surfaces, absent structures without values.
    """
    return [_agreement(pair, structure, options or Options()) for structure in structures]


def single_structures(labels: Sequence[int], names: dict[int, str]) -> list[Structure]:
    """Return one structure for each label; those without a name are called by their number."""
    return [Structure(names.get(label, f"label {label}"), (label,)) for label in labels]


def absent_in_both(structure: Structure) -> Agreement:
    """Return the result for a structure that neither map has."""
    return Agreement(structure, math.nan, 0.0, 0.0, remark=_REMARKS[False, False])


def _agreement(pair: LabelPair, structure: Structure, options: Options) -> Agreement:
    counts = pair.overlap(structure.labels)
    first, second = int(counts.first[0]), int(counts.second[0])
    remark = _REMARKS[first > 0, second > 0]
    return Agreement(
        structure,
        float((counts.reference_dice if options.empty == "reference" else counts.dice)[0]),
        first * pair.voxel_mm3,
        second * pair.voxel_mm3,
        distances=_distances(pair, structure, options, remark) if options.surfaces else None,
        remark=remark,
    )


def _distances(pair: LabelPair, structure: Structure, options: Options, remark: str) -> SurfaceDistances | None:
    if not remark:
        return surface_distances(*_masks(pair, structure.labels), pair.affine[:3, :3])
    return SurfaceDistances(*[_longest_side_mm(pair)] * 4) if options.empty == "reference" else None


def _masks(pair: LabelPair, labels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return where both maps have a structure, within the box that holds both."""
    boxes = [pair._boxes[label] for label in labels if label in pair._boxes]
    start, stop = np.min([box[0] for box in boxes], axis=0), np.max([box[1] for box in boxes], axis=0)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    kept = True if pair.ignore is None else ~pair.ignore[box]
    first, second = (np.isin(array[box], labels) & kept for array in (pair.reference, pair.segmentation))
    return first, second


def _longest_side_mm(pair: LabelPair) -> float:
    """Return the longest side of the box around the reference's labels, ten voxels wider, within the volume."""
    filled, shape = np.argwhere(pair.reference), np.array(pair.reference.shape)
    start, stop = np.zeros(3), shape
    if len(filled):
        start, stop = filled.min(axis=0) - _MARGIN_VOXELS, filled.max(axis=0) + _MARGIN_VOXELS
    sides = np.minimum(stop, shape) - np.maximum(start, 0)
    return float(np.max(sides * voxel_size(pair.affine)))
