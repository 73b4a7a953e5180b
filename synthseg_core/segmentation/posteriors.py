"""From a conformed image to posteriors: flip averaging, the blur of posteriors, and the robust chain of three networks.

Reference behaviour: SynthSeg ``predict``; Billot et al., Medical Image Analysis 2023 and PNAS 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synthseg_core.labels.table import LabelTable
from synthseg_core.models.loading import LoadedModel
from synthseg_core.networks.devices import exact_float32
from synthseg_core.networks.unet_inference import UNetRunner
from synthseg_core.segmentation.blur import RowBlur, blur_in_place
from synthseg_core.segmentation.channels import most_probable

ArrayConsumer = Callable[[int, int, np.ndarray], None]
"""Receives ``start, stop, rows``: rows [start, stop) of (N, I, J, K) along axis I."""


@dataclass(frozen=True)
class BlurPlan:
    """Which tensors are blurred.

    Parameters
    ----------
    posteriors
        The segmentation posteriors that are returned.
    parcel_decision, quality_decision
        The posteriors whose argmax the parcellation and quality networks see.
    parcels
        The parcel posteriors.
    """

    posteriors: bool
    parcel_decision: bool
    quality_decision: bool
    parcels: bool

    @classmethod
    def natural(cls, blurred: bool) -> BlurPlan:
        """Blur whatever the model's card says, whatever else is asked for."""
        return cls(blurred, blurred, blurred, True)

    @classmethod
    def like_reference(cls, blurred: bool, fast: bool, parcels: bool, quality: bool) -> BlurPlan:
        """Copy the reference, where asking for parcels or scores changes what is blurred (quirk flags_change_blur)."""
        if not (blurred and fast):
            return cls(blurred, blurred, blurred, not quality)
        return cls(not (parcels or quality), True, not parcels, not quality)


@dataclass(frozen=True)
class Decisions:
    """Posteriors with the decisions taken on them before any clean-up.

    Parameters
    ----------
    posteriors : (N, I, J, K) float32
        On the padded network grid.
    parcel_map, quality_map : (I, J, K) uint8
        Channel indices for the parcellation and the quality network.
    """

    posteriors: np.ndarray
    parcel_map: np.ndarray
    quality_map: np.ndarray


def segmentation_posteriors(
    model: LoadedModel, image: np.ndarray, *, flip_average: bool, plan: BlurPlan, off_centre: int = 0
) -> Decisions:
    """Run a segmentation model on a conformed image.

    Parameters
    ----------
    image : (I, J, K)
        On the padded grid, RAS.
    off_centre
        Rows of padding before the scan minus rows after it, along the left-right axis. Flip averaging mirrors about
        the middle of the scan, so that the mirrored scan gives the mirrored answer, bit for bit.
    """
    x = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None]
    *earlier, segmenter = model.runners
    if earlier:
        group_segmenter, denoiser = earlier
        x = _robust_input(group_segmenter, denoiser, x)
    posteriors = _all_rows(segmenter, x)
    if flip_average:
        _average_with_mirror(segmenter, x, posteriors, model.card.labels.flip_channels, off_centre)
    sigma = model.card.inference.posterior_sigma_voxels
    late_blur = plan.parcel_decision and not plan.posteriors
    if plan.posteriors and sigma > 0:
        blur_in_place(posteriors, sigma)
    result = posteriors.numpy()
    sharp = most_probable(result)
    blurred = _blurred_decision(posteriors, sigma).numpy() if late_blur and sigma > 0 else sharp
    return Decisions(
        result,
        blurred if plan.parcel_decision else sharp,
        blurred if plan.quality_decision else sharp,
    )


def parcel_posteriors(
    model: LoadedModel, image: np.ndarray, decision: np.ndarray, table: LabelTable, *, blur: bool
) -> np.ndarray:
    """Run the parcellation network.

    Parameters
    ----------
    image : (I, J, K)
        Conformed image.
    decision : (I, J, K)
        Channel indices of the segmentation, before clean-up.
    table
        Labels of the segmentation.

    Returns
    -------
    (M, I, J, K) float32

    Raises
    ------
    ModelError
        If the segmentation has no cortex to divide.
    """
    posteriors = _all_rows(model.runners[0], _parcellation_input(image, decision, table))
    sigma = model.card.inference.posterior_sigma_voxels
    if blur and sigma > 0:
        blur_in_place(posteriors, sigma)
    return posteriors.numpy()


def stream_parcel_posteriors(
    model: LoadedModel, image: np.ndarray, decision: np.ndarray, table: LabelTable, consume: ArrayConsumer
) -> None:
    """Hand on what :func:`parcel_posteriors` returns, blurred, a few rows at a time: all of it takes gigabytes."""

    def give(start: int, stop: int, rows: Tensor) -> None:
        consume(start, stop, rows.numpy())

    sigma = model.card.inference.posterior_sigma_voxels
    receive = RowBlur(sigma, image.shape[0], give) if sigma > 0 else give
    channels = _parcellation_input(image, decision, table)
    _run(model.runners[0], channels, lambda start, stop, rows: receive(start, stop, rows.cpu()))


def _parcellation_input(image: np.ndarray, decision: np.ndarray, table: LabelTable) -> Tensor:
    cortex = np.isin(decision, list(table.cortex_channels().values()))
    return torch.from_numpy(np.stack([image.astype(np.float32), ~cortex, cortex], dtype=np.float32))


def _all_rows(runner: UNetRunner, image: Tensor) -> Tensor:
    """Collect the posteriors (N, I, J, K) of an image (C, I, J, K) in the machine's memory."""
    result = torch.empty((runner.net.config.out_channels, *image.shape[1:]))

    def write(start: int, stop: int, rows: Tensor) -> None:
        result[:, start:stop] = rows

    _run(runner, image, write)
    return result


def _average_with_mirror(
    runner: UNetRunner, image: Tensor, posteriors: Tensor, flip_channels: tuple[int, ...], off_centre: int
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
    first = _decision(group_segmenter, image)
    denoised = _decision(denoiser, _one_hot(first, denoiser.net.config.in_channels))
    return torch.cat([image, _one_hot(denoised, denoiser.net.config.out_channels)])


def _decision(runner: UNetRunner, image: Tensor) -> Tensor:
    """Return the most probable channel of every voxel, (I, J, K)."""
    result = torch.empty(image.shape[1:], dtype=torch.uint8)

    def write(start: int, stop: int, rows: Tensor) -> None:
        result[start:stop] = rows.argmax(dim=0)

    _run(runner, image, write)
    return result


def _blurred_decision(posteriors: Tensor, sigma: float, rows: int = 16) -> Tensor:
    """Return the argmax of the blurred posteriors without changing them."""
    total = posteriors.shape[1]
    result = torch.empty(posteriors.shape[1:], dtype=torch.uint8)

    def write(start: int, stop: int, blurred: Tensor) -> None:
        result[start:stop] = blurred.argmax(dim=0)

    blur = RowBlur(sigma, total, write)
    for start in range(0, total, rows):
        blur(start, min(start + rows, total), posteriors[:, start : start + rows])
    return result


def _one_hot(channels: Tensor, count: int) -> Tensor:
    return functional.one_hot(channels.long(), count).permute(3, 0, 1, 2).float()


def _run(runner: UNetRunner, image: Tensor, consume: Callable[[int, int, Tensor], None]) -> None:
    with exact_float32():
        runner.run(image, consume)
