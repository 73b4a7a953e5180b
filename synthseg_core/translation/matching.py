"""Translators that need no training: grey values matched by rank, or by mean and spread. Both keep their order.

What a network is worth shows beside them; where two contrasts differ by more than a curve, they fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthseg_core.errors import InputError
from synthseg_core.translation.dataset import BACKGROUND, Images, require_images

MATCHINGS = ("histogram", "affine")
# Values up to this are background, which stays what it is.
_FLOOR = BACKGROUND + 0.02
_QUANTILES = 101
_MOST_IMAGES = 200


@dataclass(frozen=True)
class GreyValues:
    """The distribution of the values of a domain, without background, between -1 and 1.

    Parameters
    ----------
    quantiles
        From the smallest value to the largest, at equal shares.
    mean, std
        Of all.
    """

    quantiles: tuple[float, ...]
    mean: float
    std: float

    def __post_init__(self) -> None:
        if len(self.quantiles) < 2 or not self.std > 0 or np.any(np.diff(self.quantiles) < 0):
            raise InputError(
                "grey values",
                found=f"{len(self.quantiles)} quantiles with a deviation of {self.std:g}",
                expected="two or more that do not fall, and a deviation above 0",
                remedy="measure them again",
            )


def grey_values(data: Images, domain: str) -> GreyValues:
    """Measure the training images of a domain; ``InputError`` if it has none, or all of them are background."""
    count = require_images(data, domain, "train")
    chosen = np.unique(np.linspace(0, count - 1, min(count, _MOST_IMAGES)).round().astype(int))
    values = np.concatenate([_foreground(data.image(domain, "train", int(index))) for index in chosen])
    if not len(values):
        raise InputError(
            f"translation dataset, {domain}",
            found="nothing but background in the images of train",
            expected="images with something on them",
            remedy="make the dataset again",
        )
    levels = np.quantile(values.astype(np.float64), np.linspace(0, 1, _QUANTILES))
    return GreyValues(_rounded(levels), float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64)))


def match_histogram(image: np.ndarray, source: GreyValues, target: GreyValues) -> np.ndarray:
    """Return values of the target that have the same rank as those of the image in the source.

    Parameters
    ----------
    image
        Of any shape, -1 to 1.
    source, target
        Of the image's domain and of the other one.
    """
    known, unique = np.unique(source.quantiles, return_index=True)
    ranks = np.asarray(target.quantiles)[unique]
    return _with_background(image, np.interp(image, known, ranks))


def match_affine(image: np.ndarray, source: GreyValues, target: GreyValues) -> np.ndarray:
    """Return values with the mean and the spread of the target.

    Parameters
    ----------
    image
        Of any shape, -1 to 1.
    source, target
        Of the image's domain and of the other one.
    """
    return _with_background(image, (image - source.mean) / source.std * target.std + target.mean)


def match(method: str, image: np.ndarray, source: GreyValues, target: GreyValues) -> np.ndarray:
    """Apply one of :data:`MATCHINGS`.

    Parameters
    ----------
    method
        Its name.
    image, source, target
        As of :func:`match_histogram`.
    """
    return (match_histogram if method == "histogram" else match_affine)(image, source, target)


def _with_background(image: np.ndarray, matched: np.ndarray) -> np.ndarray:
    return np.where(image <= _FLOOR, image, np.clip(matched, -1, 1)).astype(np.float32)


def _foreground(image: np.ndarray) -> np.ndarray:
    middle = image[len(image) // 2]
    return middle[middle > _FLOOR]


def _rounded(values: np.ndarray | Sequence[float]) -> tuple[float, ...]:
    digits: Any = np.round(np.asarray(values), 6)
    return tuple(float(value) for value in digits)
