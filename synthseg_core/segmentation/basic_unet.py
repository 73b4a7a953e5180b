"""The family of MONAI's BasicUNet: one network that sees the whole grid or windows of it; else as SynthSeg's."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import torch

from synthseg_core.images.affines import Shape3
from synthseg_core.images.reading import Scan
from synthseg_core.models.loading import LoadedModel
from synthseg_core.networks.basic_unet_inference import BasicUNetRunner, WindowedPosteriors
from synthseg_core.segmentation.conform import Conformed, conform
from synthseg_core.segmentation.posteriors import posteriors_of
from synthseg_core.segmentation.scout import scouted
from synthseg_core.segmentation.segmenter import NetworkAnswer, SegmentOptions, conform_config
from synthseg_core.segmentation.synthseg import blurred_answer, off_centre_of

# Coarser levels and slabs, beside what is held of the finest one.
_BESIDE_FINEST = 1.5


class BasicUNetSegmenter:
    """A BasicUNet whose logits are averaged over windows, if the card has them, and over the mirrored scan likewise."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def conform(self, scan: Scan, options: SegmentOptions) -> Conformed:
        """Resample, reorient to RAS, crop, scale intensities to [0, 1], pad; the scout finds what to crop to."""
        config = conform_config(self._model.card, options)
        return scouted(self._model, conform(scan, config), scan, config)

    def answer(self, conformed: Conformed, options: SegmentOptions, companions: Collection[str]) -> NetworkAnswer:
        """Return posteriors and their argmax."""
        del companions  # they change nothing here
        card = self._model.card
        (runner,) = self._model.runners
        assert isinstance(runner, BasicUNetRunner)
        windowed = WindowedPosteriors(runner, card.inference.window_voxels)
        image = torch.from_numpy(np.ascontiguousarray(conformed.image, dtype=np.float32))[None]
        flips = card.labels.flip_channels if self._flips(options) else None
        posteriors = posteriors_of(windowed, image, flips, off_centre_of(conformed))
        return blurred_answer(posteriors, card.inference.posterior_sigma_voxels)

    def network_bytes(self, shape: Shape3, options: SegmentOptions) -> int:
        """Estimate the memory for posteriors, sums of logits, and the finest maps of what is seen at a time."""
        del options
        card = self._model.card
        config, window = card.networks[0].config, card.inference.window_voxels
        seen = shape if window is None else tuple(map(min, shape, window))
        kept = config.out_channels * (1 if window is None else 2)
        maps = _BESIDE_FINEST * config.finest_maps * math.prod(seen)
        return int(4 * (kept * math.prod(shape) + maps))

    def _flips(self, options: SegmentOptions) -> bool:
        return self._model.card.inference.flip_average and not options.fast
