"""What networks say about every voxel, and how it is read on other grids: one form for each kind of answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from synthseg_core.images.grids import Grid
from synthseg_core.images.resampling import resample_classes
from synthseg_core.images.volume import Volume
from synthseg_core.labels.table import LabelTable
from synthseg_core.segmentation.record import ConformRecord, label_map_on
from synthseg_core.segmentation.volumes import soft_volumes


class ClassScores(Protocol):
    """Scores of N classes on the network's grid."""

    @property
    def posteriors(self) -> np.ndarray:
        """Posteriors (N, I, J, K) float32 on the unpadded (and cropped) network grid, RAS."""
        ...

    def label_map_on(self, grid: Grid) -> Volume:
        """Return the label map on a grid over the scan: scores interpolated class by class, then the argmax."""
        ...

    def posteriors_on(self, grid: Grid) -> Iterator[np.ndarray]:
        """Yield the posteriors (I, J, K) of each class on a grid over the scan, in the scan's axis order."""
        ...

    def soft_voxels(self, *, single_precision: bool = False) -> np.ndarray:
        """Return the sum of the posteriors of each class, (N,), in voxels of the network's grid."""
        ...


@dataclass(frozen=True)
class Structures:
    """What a segmentation consists of, after clean-up.

    Parameters
    ----------
    scores
        Of all classes.
    labels : (I, J, K) int32
        Label map on the unpadded (and cropped) network grid, RAS.
    """

    scores: ClassScores
    labels: np.ndarray


@dataclass(frozen=True)
class Posteriors:
    """Posteriors that are held as a whole.

    Parameters
    ----------
    posteriors : (N, I, J, K) float32
        On the unpadded (and cropped) network grid, RAS.
    record
        How that grid lies on the scan.
    labels
        Meaning of the classes.
    """

    posteriors: np.ndarray
    record: ConformRecord
    labels: LabelTable

    def label_map_on(self, grid: Grid) -> Volume:
        """Return the label map on a grid over the scan."""
        return label_map_on(grid, self.posteriors, self.record, self.labels.labels)

    def posteriors_on(self, grid: Grid) -> Iterator[np.ndarray]:
        """Yield the posteriors of each class on a grid over the scan."""
        for channel in resample_classes(self.posteriors, self.record.samplings(grid)):
            yield self.record.to_source_order(channel)

    def soft_voxels(self, *, single_precision: bool = False) -> np.ndarray:
        """Return the sum of the posteriors of each class."""
        return soft_volumes(self.posteriors, 1.0, single_precision=single_precision)
