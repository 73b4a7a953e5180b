"""Intensities of images that are to be translated: which values become -1 and 1, and what is no such image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes

PERCENTILES = (0.5, 99.5)
"""Of the head, or of a picture: what becomes -1 and 1, as for the networks that segment."""
CT_WINDOW_HU = (0.0, 80.0)
"""As in cards of models: soft tissue and fluid."""
# Air is -1000, fat about -100.
_AIR_HU = -300.0
_MOST_ROUNDS, _SAMPLE, _LARGE_SAMPLE = 50, 200_000, 4_000_000
# A picture or scan has more values than a drawing, and neighbours that differ; 256 is all that 8 bits can hold.
_FEW_VALUES, _MANY_VALUES, _EQUAL_SHARE = 16, 256, 0.8


@dataclass(frozen=True)
class Window:
    """Values that become -1 and 1.

    Parameters
    ----------
    low, high
        In the units of the scan.
    """

    low: float
    high: float

    def normalised(self, data: np.ndarray) -> np.ndarray:
        """Return values as float32, -1 to 1; what lies beyond the window is cut off."""
        scaled = (data - self.low) * (2 / (self.high - self.low)) - 1
        return np.clip(scaled, -1, 1).astype(np.float32)

    def undone(self, image: np.ndarray) -> np.ndarray:
        """Return an image (-1 to 1) in the units of the scan, float64."""
        return (image.astype(np.float64) + 1) / 2 * (self.high - self.low) + self.low


def robust_window(values: np.ndarray) -> Window:
    """Return the window between two percentiles; where these are equal, between the smallest and the largest value.

    Parameters
    ----------
    values
        Of the head, or of a whole picture; at least two different ones.
    """
    low, high = np.percentile(values, PERCENTILES)
    return Window(float(low), float(high)) if low < high else Window(float(values.min()), float(values.max()))


def head_mask(data: np.ndarray, *, ct: bool = False) -> np.ndarray:
    """Return where the head is, bool: what is brighter than half the median of what is so itself, holes filled.

    Parameters
    ----------
    data : (N, height, width)
        Slices of a scan of any contrast with dark air; holes are filled in each.
    ct
        Whether values are Hounsfield units, for which the threshold is fixed.

    References
    ----------
    The threshold is the fixed point that R. W. Cox describes for AFNI's 3dClipLevel.
    """
    mask = data > (_AIR_HU if ct else _clip_level(data))
    for one in mask:
        binary_fill_holes(one, output=one)
    return mask


def is_label_map(data: np.ndarray) -> bool:
    """Say whether values look like labels: few different whole numbers, most neighbours equal but for the background.

    Parameters
    ----------
    data : (I, J) or (I, J, K)
        Of a picture or scan.
    """
    whole = data if data.dtype.kind in "iu" else np.rint(data)
    if whole is not data and not np.array_equal(whole, data):
        return False
    values, times = np.unique(whole.ravel()[:: max(1, whole.size // _LARGE_SAMPLE)], return_counts=True)
    if not _FEW_VALUES < len(values) <= _MANY_VALUES:
        return len(values) <= _FEW_VALUES
    ground = values[times.argmax()]  # air, or what is saturated
    inner = (whole[1:] != ground) & (whole[:-1] != ground)
    equal = (whole[1:] == whole[:-1])[inner]
    return equal.size > 0 and float(equal.mean()) > _EQUAL_SHARE


def _clip_level(data: np.ndarray) -> float:
    """Return the level that is half the median of all values above it, both counted from the darkest percent."""
    values = data.ravel()[:: max(1, data.size // _SAMPLE)]
    floor = float(np.percentile(values, 1))
    values = values[values > floor] - floor
    if not values.size:
        return floor
    level = float(np.sqrt(np.mean(values**2))) / 2
    for _ in range(_MOST_ROUNDS):
        above = values[values >= level]
        new = float(np.median(above)) / 2 if above.size else 0.0
        if np.isclose(new, level):
            break
        level = new
    return floor + level
