"""SynthSeg's family: from a scan to blurred posteriors, and those of parcels.

Reference behaviour: SynthSeg ``predict``; Billot et al., Medical Image Analysis 2023 and PNAS 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import torch
from torch import Tensor

from synthseg_core.images.affines import Shape3
from synthseg_core.images.reading import Scan
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.loading import LoadedModel
from synthseg_core.segmentation.blur import RowBlur, blur_in_place
from synthseg_core.segmentation.channels import most_probable
from synthseg_core.segmentation.conform import Conformed, conform
from synthseg_core.segmentation.memory_estimate import unet_bytes
from synthseg_core.segmentation.posteriors import network_posteriors, run_rows, unets_of
from synthseg_core.segmentation.scout import scouted
from synthseg_core.segmentation.segmenter import NetworkAnswer, SegmentOptions, conform_config

ArrayConsumer = Callable[[int, int, np.ndarray], None]
"""Receives ``start, stop, rows``: rows [start, stop) of (N, I, J, K) along axis I."""


class SynthSegSegmenter:
    """One U-Net, or the robust chain of three, with flip averaging and a small blur of the posteriors."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def conform(self, scan: Scan, options: SegmentOptions) -> Conformed:
        """Resample, reorient to RAS, crop, scale intensities to [0, 1], pad; the scout finds what to crop to."""
        config = conform_config(self._model.card, options)
        return scouted(self._model, conform(scan, config), scan, config)

    def answer(self, conformed: Conformed, options: SegmentOptions, companions: Collection[str]) -> NetworkAnswer:
        """Return blurred posteriors and their argmax; with quirk ``flags_change_blur``, what the reference returns."""
        inference = self._model.card.inference
        posteriors = network_posteriors(
            self._model,
            conformed.image,
            flip_average=inference.flip_average and not options.fast,
            off_centre=0 if options.quirks.mirror_padded_grid else off_centre_of(conformed),
        )
        sigma = inference.posterior_sigma_voxels
        if options.quirks.flags_change_blur:
            return answer_like_reference(posteriors, sigma, companions if options.fast else ())
        return blurred_answer(posteriors, sigma)

    def network_bytes(self, shape: Shape3, options: SegmentOptions) -> int:
        """Estimate the memory for posteriors and features."""
        del options
        return unet_bytes(self._model.card, shape)


def blurred_answer(posteriors: Tensor, sigma: float) -> NetworkAnswer:
    """Blur posteriors (N, I, J, K) in place, ``sigma`` voxels wide, and take the most probable class."""
    if sigma > 0:
        blur_in_place(posteriors, sigma)
    result = posteriors.numpy()
    class_map = most_probable(result)
    return NetworkAnswer(result, class_map, class_map)


def answer_like_reference(posteriors: Tensor, sigma: float, companions: Collection[str]) -> NetworkAnswer:
    """Do what the reference does in its fast mode, given the ``companions`` asked for (quirk ``flags_change_blur``).

    As soon as parcels or scores are asked for, the posteriors stay as they are. The network for parcels sees the
    argmax of the blurred ones all the same; the one for scores does only if there are no parcels.
    """
    if not companions or not sigma > 0:
        return blurred_answer(posteriors, sigma)
    result = posteriors.numpy()
    blurred = _blurred_class_map(posteriors, sigma)
    return NetworkAnswer(result, most_probable(result) if "parcellation" in companions else blurred, blurred)


def off_centre_of(conformed: Conformed) -> int:
    """Return the rows of padding before the scan minus those after it, left to right: 0, or -1 for odd padding."""
    if conformed.symmetric:
        return 0
    record = conformed.record
    start, stop = (corner[0] for corner in record.pad)
    return start - (record.padded_shape[0] - stop)


def stream_parcel_posteriors(
    model: LoadedModel,
    image: np.ndarray,
    class_map: np.ndarray,
    table: LabelTable,
    consume: ArrayConsumer,
    *,
    blur: bool = True,
) -> None:
    """Run the parcellation network and hand on its posteriors a few rows at a time: all of them take gigabytes.

    Parameters
    ----------
    model
        For parcels.
    image : (I, J, K)
        Conformed image.
    class_map : (I, J, K)
        Channel indices of the segmentation, before clean-up.
    table
        Labels of the segmentation.
    consume
        Receives the rows, in order.
    blur
        Whether they are blurred as the card says.

    Raises
    ------
    ModelError
        If the segmentation has no cortex to divide.
    """

    def give(start: int, stop: int, rows: Tensor) -> None:
        consume(start, stop, rows.numpy())

    sigma = model.card.inference.posterior_sigma_voxels
    receive = RowBlur(sigma, image.shape[0], give) if blur and sigma > 0 else give
    channels = _parcellation_input(image, class_map, table)
    run_rows(unets_of(model)[0], channels, lambda start, stop, rows: receive(start, stop, rows.cpu()))


def _parcellation_input(image: np.ndarray, class_map: np.ndarray, table: LabelTable) -> Tensor:
    cortex = np.isin(class_map, list(table.cortex_channels().values()))
    return torch.from_numpy(np.stack([image.astype(np.float32), ~cortex, cortex], dtype=np.float32))


def _blurred_class_map(posteriors: Tensor, sigma: float, rows: int = 16) -> np.ndarray:
    """Return the argmax of the blurred posteriors without changing them."""
    total = posteriors.shape[1]
    result = torch.empty(posteriors.shape[1:], dtype=torch.uint8)

    def write(start: int, stop: int, blurred: Tensor) -> None:
        result[start:stop] = blurred.argmax(dim=0)

    blur = RowBlur(sigma, total, write)
    for start in range(0, total, rows):
        blur(start, min(start + rows, total), posteriors[:, start : start + rows])
    return result.numpy()
