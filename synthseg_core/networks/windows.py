"""Predict a volume larger than the patches that a network was trained on, in overlapping windows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Shape3 = tuple[int, int, int]


def predict_in_windows(
    predict: Callable[[Tensor], Tensor], image: Tensor, window: Shape3, *, overlap: float = 0.5
) -> Tensor:
    """Return posteriors, averaged where windows overlap; the middle of a window counts most.

    Parameters
    ----------
    predict
        Takes (1, C, I, J, K) of the shape of the window, returns logits (1, N, I, J, K).
    image : (1, C, I, J, K)
        A volume; it may be smaller than the window, then it is padded with its own minimum.
    window
        Voxels.
    overlap
        Share of a window that it has in common with the next one along an axis, below 1.

    Returns
    -------
    (1, N, I, J, K)
        Posteriors; they sum to one over N.
    """
    shape = image.shape[2:]
    image = _padded(image, window)
    importance = _bump(window).to(image.device)
    total: Tensor | None = None
    weight = torch.zeros(image.shape[2:], device=image.device)
    for corner in corners(_shape3(image), window, overlap):
        part = (..., *(slice(a, a + n) for a, n in zip(corner, window, strict=True)))
        posteriors = torch.softmax(predict(image[part]).float(), 1) * importance
        if total is None:
            total = posteriors.new_zeros((1, posteriors.shape[1], *image.shape[2:]))
        total[part] += posteriors
        weight[part] += importance
    assert total is not None
    total /= weight
    return total[(..., *(slice(0, n) for n in shape))]


def corners(shape: Shape3, window: Shape3, overlap: float) -> Iterator[Shape3]:
    """Yield the first voxels of windows that cover a volume, evenly spread, the last ones ending at its border."""
    axes = [_starts(n, w, overlap) for n, w in zip(shape, window, strict=True)]
    yield from itertools.product(*axes)  # type: ignore[misc]


def _starts(n: int, window: int, overlap: float) -> list[int]:
    stride = max(int(window * (1 - overlap)), 1)
    count = -(-max(n - window, 0) // stride) + 1
    return [round(index * (n - window) / max(count - 1, 1)) for index in range(count)]


def _padded(image: Tensor, window: Shape3) -> Tensor:
    missing = [max(w - n, 0) for w, n in zip(window, _shape3(image), strict=True)]
    widths = [width for axis in reversed(missing) for width in (0, axis)]
    return torch.nn.functional.pad(image, widths, value=float(image.min())) if any(missing) else image


def _shape3(image: Tensor) -> Shape3:
    i, j, k = image.shape[2:]
    return i, j, k


def _bump(window: Shape3) -> Tensor:
    """Return weights that fall from 1 in the middle towards the faces, along half a sine, never to zero."""
    i, j, k = (torch.sin(torch.pi * (torch.arange(n) + 0.5) / n).clamp_min(0.01) for n in window)
    return i[:, None, None] * j[None, :, None] * k[None, None, :]
