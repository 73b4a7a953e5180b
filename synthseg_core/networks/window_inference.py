"""Logits of a volume larger than a patch: overlapping windows, Gaussian weights, folds averaged one after the other.

With ``half`` all sums, weights and quotients are kept as nnU-Net v2 keeps them, in half precision and in its order of
windows, so that its label maps come out; otherwise in float32.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from synthseg_core.errors import InputError
from synthseg_core.networks.devices import exact_float32
from synthseg_core.networks.nnunet_inference import NnUNetRunner

_LARGEST_WEIGHT, _SIGMA = 10.0, 1 / 8  # of the patch
_STEP = 0.5  # of the patch, at most


def mean_logits(runners: Iterable[NnUNetRunner], image: Tensor, patch: Sequence[int], *, half: bool) -> Tensor:
    """Return the mean of the logits of several networks, (N, I, J, K), float16 or float32, on the CPU.

    Parameters
    ----------
    runners
        Folds of one model; the next one is asked for when the one before is done with.
    image : (C, I, J, K)
        Float32, on the CPU.
    patch
        Size of a window, voxels.
    half
        Number format of what is kept.
    """
    total, count = None, 0
    for runner in runners:
        found = window_logits(runner, image, patch, half=half)
        total = found if total is None else total.add_(found)
        count += 1
        del runner, found  # before the next one is loaded
    assert total is not None
    return total.div_(count) if count > 1 else total


def window_logits(runner: NnUNetRunner, image: Tensor, patch: Sequence[int], *, half: bool) -> Tensor:
    """Return the logits of one network, (N, I, J, K); as :func:`mean_logits`."""
    shape = image.shape[1:]
    padded, before = _padded(image, patch)
    kind = torch.float16 if half else torch.float32
    weights = torch.from_numpy(window_weights(patch, half=half))
    total = torch.zeros((runner.net.config.out_channels, *padded.shape[1:]), dtype=kind)
    weight = torch.zeros(padded.shape[1:], dtype=kind)
    for corner in itertools.product(*map(window_starts, padded.shape[1:], patch)):
        box = tuple(slice(a, a + n) for a, n in zip(corner, patch, strict=True))
        weight[box] += weights
        _add_window(runner, padded[(slice(None), *box)], total[(slice(None), *box)], weights)
    for channel in total:
        channel /= weight
    if not torch.isfinite(total).all():
        raise InputError(
            "logits",
            found="infinite values",
            expected="numbers within half precision",
            remedy="use --mode float32",
        )
    return total[(slice(None), *(slice(a, a + n) for a, n in zip(before, shape, strict=True)))]


def window_starts(size: int, patch: int) -> list[int]:
    """Return the first voxels of windows along an axis: spread evenly, half a patch apart at most.

    >>> window_starts(76, 32)
    [0, 15, 29, 44]
    """
    count = int(np.ceil((size - patch) / (patch * _STEP))) + 1
    return [round(index * (size - patch) / max(count - 1, 1)) for index in range(count)]


def window_weights(patch: Sequence[int], *, half: bool) -> np.ndarray:
    """Return what each voxel of a window counts: a Gaussian around its middle, nowhere zero.

    In half precision the far corners become the smallest number there is, 6e-8: logits there come out as integers.
    """
    impulse = np.zeros(patch)
    impulse[tuple(n // 2 for n in patch)] = 1
    bump = gaussian_filter(impulse, [n * _SIGMA for n in patch], mode="constant")
    weights = (bump / (bump.max() / _LARGEST_WEIGHT)).astype(np.float32)  # torch rounds twice on its way to half
    weights = weights.astype(np.float16) if half else weights
    weights[weights == 0] = weights[weights > 0].min()
    return weights


def _padded(image: Tensor, patch: Sequence[int]) -> tuple[Tensor, list[int]]:
    """Pad with zeros to one window at least, the odd voxel at the end; return the voxels before, too."""
    missing = [max(p - n, 0) for p, n in zip(patch, image.shape[1:], strict=True)]
    widths = [width for n in reversed(missing) for width in (n // 2, n - n // 2)]
    return torch.nn.functional.pad(image, widths) if any(missing) else image, [n // 2 for n in missing]


def _add_window(runner: NnUNetRunner, image: Tensor, total: Tensor, weights: Tensor) -> None:
    """Add the weighted logits of a window, slab by slab."""

    def add(start: int, stop: int, logits: Tensor) -> None:
        rows = weights[start:stop]
        for channel, label in zip(total, logits, strict=True):
            channel[start:stop] += label.cpu() * rows

    with exact_float32():
        runner.run(image, add)
