"""A second family of models, as small as one can be: its classes are bands of intensity, and it knows no fast mode."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from synthseg_core.images.affines import Shape3
from synthseg_core.images.reading import Scan
from synthseg_core.models.card import ModelCard
from synthseg_core.models.families import Family
from synthseg_core.models.loading import LoadedModel
from synthseg_core.segmentation.conform import Conformed, conform
from synthseg_core.segmentation.segmenter import NetworkAnswer, SegmentOptions, conform_config


def check_bands(card: ModelCard) -> None:
    """Bands are no chain: two networks are one too many, whatever they are."""
    if len(card.networks) != 1:
        raise card.fault(f"{len(card.networks)} networks", "one")


class BandSegmenter:
    """Gives every voxel the class of its quarter of the intensities."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def conform(self, scan: Scan, options: SegmentOptions) -> Conformed:
        return conform(scan, conform_config(self._model.card, options))

    def answer(self, conformed: Conformed, options: SegmentOptions, companions: Collection[str]) -> NetworkAnswer:
        classes = len(self._model.card.labels)
        bands = np.minimum(conformed.image * classes, classes - 1).astype(np.uint8)
        posteriors = np.stack([bands == band for band in range(classes)]).astype(np.float32)
        return NetworkAnswer(posteriors, bands, bands)

    def network_bytes(self, shape: Shape3, options: SegmentOptions) -> int:
        return 4 * int(np.prod(shape)) * len(self._model.card.labels)


BANDS = Family(check_bands, "tests.phantoms.families:BandSegmenter")
