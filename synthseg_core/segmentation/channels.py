"""Sums and maxima over the channels of (N, I, J, K) arrays, plane by plane to stay in the processor's cache.

Sums of float32 depend on their order in the last bit, which decides voxels that lie on a threshold; so the order is
part of the result and is spelled out here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

# NumPy sums a contiguous axis of 8 to 128 entries in eight interleaved running sums; the reference relies on that.
_LANES = 8


def planes(posteriors: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the (N, J, K) views of (N, I, J, K) along the first spatial axis."""
    return (posteriors[:, i] for i in range(posteriors.shape[1]))


def array_order_sum(channels: Sequence[np.ndarray]) -> np.ndarray:
    """Add up channels with the rounding of ``numpy.sum`` over a contiguous last axis, as in the reference."""
    whole = len(channels) - len(channels) % _LANES
    total = np.zeros_like(channels[0])
    if whole:
        lanes = [channels[lane].copy() for lane in range(_LANES)]
        for index in range(_LANES, whole):
            lanes[index % _LANES] += channels[index]
        while len(lanes) > 1:
            lanes = [first + second for first, second in zip(lanes[::2], lanes[1::2], strict=True)]
        total = lanes[0]
    for channel in channels[whole:]:
        total += channel
    return total


def paired_sum(channels: Sequence[np.ndarray], partners: Sequence[int]) -> np.ndarray:
    """Add up channels so that exchanging each with its partner does not change a bit.

    Parameters
    ----------
    channels
        Arrays of equal shape.
    partners
        Index of the channel on the other side of the body; its own index for neutral structures.
    """
    total = np.zeros_like(channels[0])
    for index, partner in enumerate(partners):
        if partner == index:
            total += channels[index]
        elif partner > index:
            total += channels[index] + channels[partner]
    return total


def most_probable(posteriors: np.ndarray) -> np.ndarray:
    """Return the index of the largest channel of (N, I, J, K), the first one on ties; uint8, or uint16 if N > 256.

    Voxels whose first channel is NaN get index 0.
    """
    result = np.zeros(posteriors.shape[1:], dtype=np.uint8 if len(posteriors) <= 256 else np.uint16)
    for index, plane in zip(result, planes(posteriors), strict=True):
        best = plane[0].copy()
        for number in range(1, len(plane)):
            np.copyto(index, result.dtype.type(number), where=plane[number] > best)
            np.maximum(best, plane[number], out=best)
    return result
