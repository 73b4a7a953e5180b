"""Which numbers of a scan lie far from those of the others of its dataset: robust z, and where everybody lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MARKED = 3.5
"""Robust z from which a number is marked: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993."""
LEAST_SCANS = 8
"""With fewer numbers none is called an outlier."""
# Median absolute deviation of a normal distribution, as a share of its standard deviation.
_NORMAL = 0.6745
# Differences of less than this share of a volume are no deviation, however alike all others are.
_LEAST_DEVIATION = 0.01


@dataclass(frozen=True)
class Spread:
    """Where numbers lie, in units of robust z.

    Parameters
    ----------
    number
        How many there are.
    low, lower, middle, upper, high
        Percentiles 2.5, 25, 50, 75 and 97.5.
    """

    number: int
    low: float
    lower: float
    middle: float
    upper: float
    high: float


def robust_z(values: np.ndarray, least_deviation: float = _LEAST_DEVIATION) -> np.ndarray:
    """Return how far each number lies from the median, in units of a standard deviation that outliers do not change.

    Parameters
    ----------
    values : (N,)
        NaN where a scan has no number; z is NaN there, and everywhere if there are fewer than ``LEAST_SCANS``.
    least_deviation
        Of the median absolute deviation.
    """
    known = values[np.isfinite(values)]
    if known.size < LEAST_SCANS:
        return np.full(values.shape, np.nan)
    middle = np.median(known)
    deviation = max(float(np.median(np.abs(known - middle))), least_deviation)
    return np.where(np.isfinite(values), _NORMAL * (values - middle) / deviation, np.nan)


def adjusted(volumes_mm3: np.ndarray, intracranial_mm3: np.ndarray | None) -> np.ndarray:
    """Return logarithms of volumes as shares of the intracranial volume; NaN where a volume is not above zero.

    Parameters
    ----------
    volumes_mm3 : (N,)
        Of one structure.
    intracranial_mm3 : (N,)
        ``None``: volumes stay as they are.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.log(volumes_mm3) - (0 if intracranial_mm3 is None else np.log(intracranial_mm3))
    return np.where(np.isfinite(logarithms), logarithms, np.nan)


def z_by_kind(values: np.ndarray, kinds: Sequence[str], least_deviation: float = _LEAST_DEVIATION) -> np.ndarray:
    """Return robust z among the scans of the same kind, (N,); ``kinds`` has a word for each scan."""
    z = np.full(values.shape, np.nan)
    words = np.array(kinds, dtype=object)
    for kind in dict.fromkeys(kinds):
        of_kind = words == kind
        z[of_kind] = robust_z(values[of_kind], least_deviation)
    return z


def spread(values: np.ndarray) -> Spread | None:
    """Return where numbers lie; ``None`` if there are none."""
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    return Spread(known.size, *(float(one) for one in np.percentile(known, (2.5, 25, 50, 75, 97.5))))
