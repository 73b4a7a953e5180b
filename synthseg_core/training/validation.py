"""Scores of a network on samples that it is never trained on, and the choice of the best weights.

References
----------
Score of the reference: mean Dice over labels and subjects without the background, the first row; the best is the
largest, the earliest on ties.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthseg_core.networks.building import Network
from synthseg_core.networks.windows import Shape3, predict_in_windows
from synthseg_core.training.samples import Source
from synthseg_core.training.step import forward

Scores = NDArray[np.float64]
Validate = Callable[[Network], Scores]
"""Takes a network in evaluation mode; returns a score, classes x subjects, the background first, larger being better.

The score is Dice, unless a task measures something else; NaN: absent in both."""


def score_of(table: Scores) -> float:
    """Return the mean over classes and subjects, without the background and without NaN.

    Parameters
    ----------
    table : (C, S)
        Dice of each class in each subject, the background first.
    """
    rows = np.abs(table[1:])
    return float(rows[np.isfinite(rows)].mean()) if np.isfinite(rows).any() else 0.0


def is_better(score: float, best: float | None) -> bool:
    """Say whether a later score replaces the best so far: only if it is larger."""
    return best is None or score > best


def dice_by_class(predicted: Tensor, class_index: Tensor, classes: int) -> Scores:
    """Return hard Dice of each class; NaN where it is absent in both.

    Parameters
    ----------
    predicted, class_index
        Classes from 0, any shape, the same for both.
    classes
        How many there are, background included.
    """
    joint = (class_index.long() * classes + predicted.long()).flatten()
    counts = torch.bincount(joint, minlength=classes**2).view(classes, classes).double().cpu().numpy()
    with np.errstate(invalid="ignore"):
        return 2 * counts.diagonal() / (counts.sum(0) + counts.sum(1))


class DrawValidation:
    """Dice on fixed draws of a source, each predicted whole or in windows.

    Parameters
    ----------
    source
        Of held-out label maps.
    seeds
        One per draw; choose them once, so that scores can be compared.
    precision
        Of the forward pass.
    window
        Voxels of the patches that the network is trained on, for draws larger than them; ``None``: predict each draw
        whole.
    """

    def __init__(
        self, source: Source, seeds: Sequence[int], *, precision: str = "float32", window: Shape3 | None = None
    ) -> None:
        self.source = source
        self.seeds = tuple(seeds)
        self.precision = precision
        self.window = window

    @torch.inference_mode()
    def __call__(self, net: Network) -> Scores:
        """Return the (C, S) table of Dice."""
        return np.stack([self._dice(net, seed) for seed in self.seeds], axis=1)

    def _dice(self, net: Network, seed: int) -> Scores:
        images, class_index = self.source.batch([seed])
        device = next(net.parameters()).device
        predict = partial(forward, net, device=device, precision=self.precision)
        windows = None if self.window is None else predict_in_windows(predict, images.to(device), self.window)
        predicted = (predict(images) if windows is None else windows).argmax(1)
        return dice_by_class(predicted, class_index.to(device), net.config.out_channels)
