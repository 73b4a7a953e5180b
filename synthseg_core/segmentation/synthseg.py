"""SynthSeg's family: flip averaging, the blur of posteriors, the robust chain of three networks, parcels.

Reference behaviour: SynthSeg ``predict``; Billot et al., Medical Image Analysis 2023 and PNAS 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synthseg_core.images.affines import Shape3
from synthseg_core.images.reading import Scan
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.loading import LoadedModel
from synthseg_core.networks.devices import exact_float32
from synthseg_core.networks.unet_inference import UNetRunner
from synthseg_core.segmentation.blur import RowBlur, blur_in_place
from synthseg_core.segmentation.channels import most_probable
from synthseg_core.segmentation.conform import Conformed, conform
from synthseg_core.segmentation.memory_estimate import unet_bytes
from synthseg_core.segmentation.record import ConformRecord
from synthseg_core.segmentation.segmenter import NetworkAnswer, SegmentOptions, conform_config


class PosteriorRunner(Protocol):
    """Runs a network that answers with posteriors."""

    @property
    def classes(self) -> int:
        """Channels of the answer."""
        ...

    def run(self, image: Tensor, consume: Callable[[int, int, Tensor], None]) -> None:
        """Give ``start, stop, posteriors``: consecutive rows of (N, I, J, K)."""
        ...


ArrayConsumer = Callable[[int, int, np.ndarray], None]
"""Receives ``start, stop, rows``: rows [start, stop) of (N, I, J, K) along axis I."""


class SynthSegSegmenter:
    """One U-Net, or the robust chain of three, with flip averaging and a small blur of the posteriors."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def conform(self, scan: Scan, options: SegmentOptions) -> Conformed:
        """Resample, reorient to RAS, crop, scale intensities to [0, 1], pad."""
        return conform(scan, conform_config(self._model.card, options))

    def answer(self, conformed: Conformed, options: SegmentOptions, companions: Collection[str]) -> NetworkAnswer:
        """Return blurred posteriors and their argmax; with quirk ``flags_change_blur``, what the reference returns."""
        inference = self._model.card.inference
        posteriors = network_posteriors(
            self._model,
            conformed.image,
            flip_average=inference.flip_average and not options.fast,
            off_centre=0 if options.quirks.mirror_padded_grid else off_centre_of(conformed.record),
        )
        sigma = inference.posterior_sigma_voxels
        if options.quirks.flags_change_blur:
            return answer_like_reference(posteriors, sigma, companions if options.fast else ())
        return blurred_answer(posteriors, sigma)

    def network_bytes(self, shape: Shape3, options: SegmentOptions) -> int:
        """Estimate the memory for posteriors and features."""
        del options
        return unet_bytes(self._model.card, shape)


def network_posteriors(model: LoadedModel, image: np.ndarray, *, flip_average: bool, off_centre: int = 0) -> Tensor:
    """Run a segmentation model on a conformed image; (N, I, J, K) float32, not blurred.

    Parameters
    ----------
    model
        Of one network, or of the three of the robust chain.
    image : (I, J, K)
        On the padded grid, RAS.
    flip_average
        Average with the answer for the mirrored image.
    off_centre
        Rows of padding before the scan minus rows after it, along the left-right axis. Flip averaging mirrors about
        the middle of the scan, so that the mirrored scan gives the mirrored answer, bit for bit.
    """
    x = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None]
    *earlier, segmenter = _unets(model)
    if earlier:
        group_segmenter, denoiser = earlier
        x = _robust_input(group_segmenter, denoiser, x)
    return posteriors_of(segmenter, x, model.card.labels.flip_channels if flip_average else None, off_centre)


def posteriors_of(
    runner: PosteriorRunner, image: Tensor, flip_channels: Sequence[int] | None, off_centre: int
) -> Tensor:
    """Return the posteriors (N, I, J, K) of a network, float32.

    Parameters
    ----------
    runner
        Of the network.
    image : (C, I, J, K)
        What it is given.
    flip_channels
        For flip averaging: the channels of the mirrored labels; ``None``: no averaging.
    off_centre
        As for :func:`network_posteriors`.
    """
    posteriors = _all_rows(runner, image)
    if flip_channels is not None:
        _average_with_mirror(runner, image, posteriors, flip_channels, off_centre)
    return posteriors


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


def _unets(model: LoadedModel) -> list[UNetRunner]:
    return [runner for runner in model.runners if isinstance(runner, UNetRunner)]


def off_centre_of(record: ConformRecord) -> int:
    """Return the rows of padding before the scan minus those after it, left to right: 0, or -1 for odd padding."""
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
    _run(_unets(model)[0], channels, lambda start, stop, rows: receive(start, stop, rows.cpu()))


def _parcellation_input(image: np.ndarray, class_map: np.ndarray, table: LabelTable) -> Tensor:
    cortex = np.isin(class_map, list(table.cortex_channels().values()))
    return torch.from_numpy(np.stack([image.astype(np.float32), ~cortex, cortex], dtype=np.float32))


def _all_rows(runner: PosteriorRunner, image: Tensor) -> Tensor:
    """Collect the posteriors (N, I, J, K) of an image (C, I, J, K) in the machine's memory."""
    result = torch.empty((runner.classes, *image.shape[1:]))

    def write(start: int, stop: int, rows: Tensor) -> None:
        result[:, start:stop] = rows

    _run(runner, image, write)
    return result


def _average_with_mirror(
    runner: PosteriorRunner, image: Tensor, posteriors: Tensor, flip_channels: Sequence[int], off_centre: int
) -> None:
    """Average with the answer for the mirrored image, mirrored back, left and right channels exchanged; in place.

    The mirror stands ``off_centre`` half rows beside the middle of the grid: row ``i`` of the mirrored image is row
    ``total - 1 - i + off_centre``. Rows of padding without a counterpart become zero, like all that lies outside.
    """
    total = image.shape[1]

    def add(start: int, stop: int, rows: Tensor) -> None:
        low, high = total - stop + off_centre, total - start + off_centre
        first, last = max(low, 0), min(high, total)
        mirrored = rows.flip(1)[:, first - low : last - low]
        for channel, other in enumerate(flip_channels):
            part = posteriors[channel, first:last]
            part.add_(mirrored[other].to(part.device)).mul_(0.5)

    _run(runner, image.flip(1).roll(off_centre, 1), add)
    posteriors[:, : max(off_centre, 0)] = 0
    posteriors[:, total + min(off_centre, 0) :] = 0


def _robust_input(group_segmenter: UNetRunner, denoiser: UNetRunner, image: Tensor) -> Tensor:
    """Return the image with the one-hot groups that the first two networks of the robust chain agree on."""
    first = _class_map(group_segmenter, image)
    denoised = _class_map(denoiser, _one_hot(first, denoiser.net.config.in_channels))
    return torch.cat([image, _one_hot(denoised, denoiser.net.config.out_channels)])


def _class_map(runner: UNetRunner, image: Tensor) -> Tensor:
    """Return the most probable channel of every voxel, (I, J, K)."""
    result = torch.empty(image.shape[1:], dtype=torch.uint8)

    def write(start: int, stop: int, rows: Tensor) -> None:
        result[start:stop] = rows.argmax(dim=0)

    _run(runner, image, write)
    return result


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


def _one_hot(channels: Tensor, count: int) -> Tensor:
    return functional.one_hot(channels.long(), count).permute(3, 0, 1, 2).float()


def _run(runner: PosteriorRunner, image: Tensor, consume: Callable[[int, int, Tensor], None]) -> None:
    with exact_float32():
        runner.run(image, consume)
