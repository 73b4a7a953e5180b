"""What every family of segmentation models has to do, so that :func:`segment_scan` can run it.

A family's class stands in the table of :mod:`synthseg_core.models.families`; nothing else tells families apart.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np

from synthseg_core.images.affines import Shape3
from synthseg_core.images.reading import Scan
from synthseg_core.models.card import ModelCard
from synthseg_core.models.families import FAMILIES
from synthseg_core.models.loading import LoadedModel
from synthseg_core.quirks import NATIVE, Quirks
from synthseg_core.segmentation.cleanup import clean_up, label_map_from
from synthseg_core.segmentation.conform import ConformConfig, Conformed
from synthseg_core.segmentation.record import ConformRecord
from synthseg_core.segmentation.scores import Posteriors, Structures


@dataclass(frozen=True)
class SegmentOptions:
    """What to do with a scan.

    Parameters
    ----------
    fast
        No flip averaging, and small posteriors dropped instead of components searched.
    ct
        The scan is a CT in Hounsfield units.
    crop
        Work on a centred crop of about this many voxels (RAS), on the network's grid.
    autocrop
        Work on the box of what is not background; not with ``crop``.
    folds
        Which networks of a model of folds to average; ``None``: all.
    mode
        ``exact``: sums of logits in half precision, as nnU-Net keeps them; ``float32``.
    voxel_scale
        Let the network see a head this much larger, without a change of the scan; 1.4 suits newborns.
    voxel_size_mm
        Let the network see voxels of this edge instead of the scan's own.
    skip_resampling
        Take isotropic voxels of 0.6 to 1 mm for the network's own.
    quirks
        What to copy from the reference implementation.
    memory_bytes
        Budget for the estimates made before anything large is allocated; ``None``: the machine's memory.
    posteriors, overlapped
        For these estimates: whether posteriors will be asked for, and whether other scans are read and written
        meanwhile.
    """

    fast: bool = False
    ct: bool = False
    crop: Shape3 | None = None
    autocrop: bool = False
    folds: tuple[int, ...] | None = None
    mode: str = "exact"
    voxel_scale: float = 1.0
    voxel_size_mm: float | None = None
    skip_resampling: bool = False
    quirks: Quirks = NATIVE
    memory_bytes: int | None = None
    posteriors: bool = False
    overlapped: bool = False


@dataclass(frozen=True)
class NetworkAnswer:
    """Posteriors, and the most probable classes before any clean-up.

    Parameters
    ----------
    posteriors : (N, I, J, K) float32
        On the padded network grid, RAS; clean-up changes them in place.
    class_map : (I, J, K) uint8
        Channel indices: what quality control and, later, parcellation start from.
    parcel_map : (I, J, K) uint8
        Channel indices that the parcellation of the same run sees; another map only with quirk ``flags_change_blur``.
    """

    posteriors: np.ndarray
    class_map: np.ndarray
    parcel_map: np.ndarray

    def structures(self, card: ModelCard, record: ConformRecord, options: SegmentOptions) -> Structures:
        """Clean the posteriors up, in place."""
        mode = "threshold" if options.fast and card.inference.clean_up == "topology" else card.inference.clean_up
        cleaned = clean_up(self.posteriors, card.labels, record.pad, mode, options.quirks)
        return Structures(Posteriors(cleaned, record, card.labels), label_map_from(cleaned, card.labels))


class Answer(Protocol):
    """What networks answer; the class maps are those of :class:`NetworkAnswer`."""

    @property
    def class_map(self) -> np.ndarray:
        """Channel indices (I, J, K) uint8 on the padded network grid, RAS."""
        ...

    @property
    def parcel_map(self) -> np.ndarray:
        """Channel indices that the parcellation of the same run sees."""
        ...

    def structures(self, card: ModelCard, record: ConformRecord, options: SegmentOptions) -> Structures:
        """Return scores and label map after clean-up, on the unpadded (and cropped) network grid."""
        ...


class Segmenter(Protocol):
    """Runs the segmentation models of one family; made from a loaded model, that is called with nothing else."""

    def conform(self, scan: Scan, options: SegmentOptions) -> Conformed:
        """Bring a scan to grid and intensities of the network; ``InputError`` where that cannot be done."""
        ...

    def answer(self, conformed: Conformed, options: SegmentOptions, companions: Collection[str]) -> Answer:
        """Run the networks on a conformed scan, in bounded memory: by rows or windows of the grid.

        Parameters
        ----------
        conformed
            From :meth:`conform`.
        options
            Those that it was conformed with.
        companions
            Tasks of the models that follow (``parcellation``, ``quality``).
        """
        ...

    def network_bytes(self, shape: Shape3, options: SegmentOptions) -> int:
        """Estimate the memory that :meth:`answer` takes at its peak for a padded grid, its result included."""
        ...


def segmenter_of(model: LoadedModel) -> Segmenter:
    """Return what runs a segmentation model; its card's family decides."""
    module, _, name = FAMILIES[model.card.family].segmenter.partition(":")
    return getattr(import_module(module), name)(model)


def conform_config(card: ModelCard, options: SegmentOptions) -> ConformConfig:
    """Return what a card and options say about conforming."""
    return ConformConfig(
        grid=card.grid,
        intensity=card.intensity,
        ct=options.ct,
        crop=options.crop,
        autocrop=options.autocrop,
        quirks=options.quirks,
        memory_bytes=options.memory_bytes,
    )
