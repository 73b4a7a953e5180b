"""What a label map and its scan say about each other: signs of segmentations that are plainly wrong.

Nothing here knows what tissue should look like, so any contrast will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthseg_core.images.mosaic import RasVolume, box_around

# How warnings of the segmentation about absent structures begin, and end where these lie outside the brain.
_ABSENT, _OUTSIDE = "no voxel of ", "which are not counted as brain"
# What lies around the labels and is compared with them too.
_SURROUNDINGS_MM = 10.0
_MOST_VOXELS = 100_000
_DIRECTIONS = (("to the left", "to the right"), ("to the back", "to the front"), ("down", "up"))
_DISTANCES_MM = (10, 20)
# Labels that explain so much more elsewhere, as a share of the variance and of what they explain here, are misplaced.
_BETTER = 0.1
# Labels that explain less are worth a look. Good ones explain 0.37 (a head with scalp and face, thick slices) to 0.95
# (a stripped brain); the CT of a head that was read without its window, with labels in the face, 0.05.
_LEAST_AGREEMENT = 0.15
_FACES = (("left", "right"), ("back", "front"), ("bottom", "top"))
# A face of the field of view cuts a brain if so much of the largest slice along its axis lies on it.
_CUT_SHARE = 0.15


@dataclass(frozen=True)
class Plausibility:
    """Signs about one label map.

    Parameters
    ----------
    agreement
        Share of the variance of the intensities, in and around the labels, that the labels explain, 0 to 1; ``None``
        without the scan. It is low where labels lie beside the anatomy; what is normal depends on contrast and noise,
        so scans are compared with others of their kind.
    empty
        Whether there is no label at all.
    swapped
        Whether structures called left lie on the right.
    absent
        Structures without a voxel.
    better
        Where the labels would explain far more, such as ``20 mm to the left``; empty: nowhere, or without the scan.
    cut
        Faces of the field of view at which the labels end in full width.
    """

    agreement: float | None
    empty: bool
    swapped: bool
    absent: tuple[str, ...]
    cut: tuple[str, ...]
    better: str = ""

    @property
    def loose(self) -> str:
        """Words for labels that explain hardly anything of the scan; empty if they explain enough."""
        if self.agreement is None or self.agreement >= _LEAST_AGREEMENT or self.better:
            return ""
        return (
            f"the labels explain only {self.agreement:.0%} of the intensities in and around them, "
            f"less than {_LEAST_AGREEMENT:.0%}: do they lie on the brain?"
        )

    def repeated_by(self, warning: str) -> bool:
        """Whether a warning of the segmentation says the same as ``absent``."""
        return bool(self.absent) and warning.startswith(_ABSENT) and not warning.endswith(_OUTSIDE)


def judge(
    labels: RasVolume, scan: RasVolume | None, names: Mapping[int, str], sides: Mapping[int, str]
) -> Plausibility:
    """Look for signs of a wrong segmentation.

    Parameters
    ----------
    labels
        Label map.
    scan
        On the same grid; ``None`` where it is not there.
    names, sides
        Label -> name of the structure, of all that a scan has to have, and ``left``, ``right`` or ``neutral``.
    """
    present = np.flatnonzero(np.bincount(labels.data.ravel())).tolist()
    absent = tuple(name for label, name in names.items() if label and label not in present)
    if present in ([], [0]):
        return Plausibility(None, empty=True, swapped=False, absent=absent, cut=())
    inside = labels.data > 0
    return Plausibility(
        agreement=None if scan is None else explained_variance(labels, scan.data),
        empty=False,
        swapped=_is_swapped(labels.data, sides),
        absent=absent,
        cut=_cut_faces(inside),
        better="" if scan is None else better_place(labels, scan.data),
    )


def explained_variance(labels: RasVolume, scan: np.ndarray, shift_mm: Sequence[float] = (0, 0, 0)) -> float:
    """Return the share of the variance of intensities that labels explain (the correlation ratio, squared).

    Intensities are those in the box of the labels and 10 mm around it, between their 1st and 99th percentile.

    Parameters
    ----------
    labels
        Label map.
    scan
        On the same grid.
    shift_mm
        Where the labels are put, from where they are: to the right, to the front, up; whole voxels are taken.

    References
    ----------
    Roche et al., The correlation ratio as a new similarity measure for multimodal image registration, MICCAI 1998.
    """
    box = box_around(labels.data > 0, labels.voxel_size, _SURROUNDINGS_MM)
    return _explained(labels, scan, box, shift_mm)


def better_place(labels: RasVolume, scan: np.ndarray) -> str:
    """Say where labels would explain the scan far better, of places 10 and 20 mm away; empty if nowhere."""
    box = box_around(labels.data > 0, labels.voxel_size, _SURROUNDINGS_MM)
    here = _explained(labels, scan, box, (0, 0, 0))
    there: dict[str, float] = {}
    for axis, words in enumerate(_DIRECTIONS):
        for word, sign in zip(words, (-1, 1), strict=True):
            for distance in _DISTANCES_MM:
                shift = [0.0, 0.0, 0.0]
                shift[axis] = sign * distance
                there[f"{distance:g} mm {word}"] = _explained(labels, scan, box, shift)
    best = max(there, key=lambda place: there[place])
    return best if there[best] > here + _BETTER and there[best] > here * (1 + _BETTER) else ""


def _explained(labels: RasVolume, scan: np.ndarray, box: np.ndarray, shift_mm: Sequence[float]) -> float:
    moved = np.rint(np.array(shift_mm) / labels.voxel_size).astype(int)
    # What of the box stays in the field of view.
    low = np.maximum(box[:, 0], -moved)
    high = np.minimum(box[:, 1], np.array(scan.shape) - moved)
    if (high - low < 1).any():
        return 0.0
    step = max(1, round((np.prod(high - low) / _MOST_VOXELS) ** (1 / 3)))
    of_labels = tuple(slice(a, b, step) for a, b in zip(low, high, strict=True))
    of_scan = tuple(slice(a, b, step) for a, b in zip(low + moved, high + moved, strict=True))
    values, classes = scan[of_scan].ravel().astype(float), labels.data[of_labels].ravel()
    values = np.clip(values, *np.percentile(values, (1, 99)))
    sums, counts = np.bincount(classes, values), np.bincount(classes)
    known = counts > 0
    between = (counts[known] * (sums[known] / counts[known] - values.mean()) ** 2).sum() / values.size
    total = values.var()
    return float(between / total) if total else 0.0


def _is_swapped(labels: np.ndarray, sides: Mapping[int, str]) -> bool:
    """Say whether what is called left lies further to the right than what is called right."""
    along = [np.bincount(plane.ravel(), minlength=max(sides, default=0) + 1) for plane in labels]
    middles: list[float] = []
    for side in ("left", "right"):
        of_side = [label for label, word in sides.items() if word == side]
        voxels = np.array([counts[of_side].sum() for counts in along], float)
        middles.append(float((voxels * np.arange(len(voxels))).sum() / voxels.sum()) if voxels.sum() else np.nan)
    left, right = middles
    return left > right


def _cut_faces(inside: np.ndarray) -> tuple[str, ...]:
    faces: list[str] = []
    for axis, words in enumerate(_FACES):
        others = tuple(other for other in range(3) if other != axis)
        areas: Sequence[int] = inside.sum(axis=others)
        faces += [
            word for word, area in zip(words, (areas[0], areas[-1]), strict=True) if area > _CUT_SHARE * max(areas)
        ]
    return tuple(faces)
