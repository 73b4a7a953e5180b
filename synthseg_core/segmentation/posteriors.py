"""Posteriors of networks, by rows: one U-Net or the robust chain of three, flip averaging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synthseg_core.models.loading import LoadedModel
from synthseg_core.networks.devices import exact_float32
from synthseg_core.networks.unet_inference import UNetRunner


class PosteriorRunner(Protocol):
    """Runs a network that answers with posteriors."""

    @property
    def classes(self) -> int:
        """Channels of the answer."""
        ...

    def run(self, image: Tensor, consume: Callable[[int, int, Tensor], None]) -> None:
        """Give ``start, stop, posteriors``: consecutive rows of (N, I, J, K)."""
        ...


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
    *earlier, segmenter = unets_of(model)
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


def unets_of(model: LoadedModel) -> list[UNetRunner]:
    """Return what runs the U-Nets of a model, in order."""
    return [runner for runner in model.runners if isinstance(runner, UNetRunner)]


def run_rows(runner: PosteriorRunner, image: Tensor, consume: Callable[[int, int, Tensor], None]) -> None:
    """Run a network on (C, I, J, K) and hand on ``start, stop, rows`` of its posteriors, in order."""
    with exact_float32():
        runner.run(image, consume)


def _all_rows(runner: PosteriorRunner, image: Tensor) -> Tensor:
    """Collect the posteriors (N, I, J, K) of an image (C, I, J, K) in the machine's memory."""
    result = torch.empty((runner.classes, *image.shape[1:]))

    def write(start: int, stop: int, rows: Tensor) -> None:
        result[:, start:stop] = rows

    run_rows(runner, image, write)
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

    run_rows(runner, image.flip(1).roll(off_centre, 1), add)
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

    run_rows(runner, image, write)
    return result


def _one_hot(channels: Tensor, count: int) -> Tensor:
    return functional.one_hot(channels.long(), count).permute(3, 0, 1, 2).float()
