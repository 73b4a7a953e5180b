"""What the values of a scan say about it: padding, which was not measured, and whether they are Hounsfield units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Fewer voxels than these are cut off by the intensity percentiles of any network.
_LEAST_SHARE = 0.005
# Gap to the next value, relative to the range of all others: hyperintense fluid or bone shade into the rest.
_LEAST_GAP = 0.5
# Air is -1000, and no CT of 12 bits goes below this.
_AIR_HU, _LOWEST_HU = -500.0, -4096.0
# Soft tissue, 0 to 80 HU, with noise, where 1000 or 1024 were added. Of a true CT this is bone, one voxel in a hundred.
_LIFTED_TISSUE, _LIFTED_SHARE = (960.0, 1130.0), 0.05
# No scan has such numbers, whatever they were meant for.
_BEYOND_MEASUREMENT = 1e30
_IMPOSSIBLE = (-(2.0**15), 2.0**15 - 1, 2.0**16 - 1, -(2.0**31), 2.0**31 - 1, 2.0**32 - 1)


@dataclass(frozen=True)
class LoneValue:
    """A value that many voxels have, at one end of all values and far away from the next one.

    Parameters
    ----------
    value
        The constant.
    share
        Of the voxels.
    lowest, highest
        Of all other voxels.
    """

    value: float
    share: float
    lowest: float
    highest: float


def lone_values(data: np.ndarray) -> list[LoneValue]:
    """Return the lone values at the lower and at the upper end of all values, where there are such."""
    ends = (float(data.min()), float(data.max()))
    return [found for end in ends if (found := _lone(data, end)) is not None]


def _lone(data: np.ndarray, value: float) -> LoneValue | None:
    others = data != value
    share = 1 - float(np.count_nonzero(others)) / data.size
    if not (np.isfinite(value) and _LEAST_SHARE <= share < 1):
        return None
    lowest = float(data.min(where=others, initial=np.inf))
    highest = float(data.max(where=others, initial=-np.inf))
    gap = lowest - value if value < lowest else value - highest
    spread = highest - lowest
    return LoneValue(value, share, lowest, highest) if np.isfinite(gap) and gap > _LEAST_GAP * spread > 0 else None


def impossible_values(dtype: Any, slope: float = 1.0, intercept: float = 0.0) -> tuple[float, ...]:
    """Return the values that stand for "not measured" in a file of a number type: its ends, scaled, and common ones.

    The ends of 8 bits and the 0 of unsigned types are values like others.
    """
    kind = np.dtype(dtype)
    if kind.kind not in "iu" or kind.itemsize == 1:
        return _IMPOSSIBLE
    ends = [float(np.iinfo(kind).max), *([float(np.iinfo(kind).min)] if kind.kind == "i" else [])]
    return (*_IMPOSSIBLE, *(slope * end + intercept for end in ends))


def replace_padding(data: np.ndarray, impossible: Sequence[float]) -> list[str]:
    """Replace lone values that no scanner measures by the smallest of all others, in place; say so in a line each.

    Parameters
    ----------
    data : (I, J, K)
        Finite values.
    impossible
        From :func:`impossible_values`.
    """
    ends = (float(data.min()), float(data.max()))
    notes: list[str] = []
    for end in ends:
        if not (abs(end) >= _BEYOND_MEASUREMENT or np.isclose(end, impossible, rtol=1e-6, atol=0).any()):
            continue
        lone = _lone(data, end)
        if lone is not None:
            data[data == end] = lone.lowest
            notes.append(
                f"{_share(lone)} are {end:g}, which is no measurement; replaced by {lone.lowest:g}, the smallest value "
                "of the others"
            )
    return notes


def doubts(data: np.ndarray, *, ct: bool) -> tuple[str, ...]:
    """Say what is doubtful about the values of a scan, and what may help.

    Parameters
    ----------
    data : (I, J, K)
        As read; NaN raises no doubt here.
    ct
        Whether they were said to be Hounsfield units.
    """
    if ct:  # its window cuts padding off
        return _doubts_about_ct(data)
    lone = [one for one in lone_values(data) if one.value != 0]  # the background of most scans
    lowest = next((one.lowest for one in lone if one.value < one.lowest), float(data.min()))
    advice = tuple(_advice(one) for one in lone)
    if _LOWEST_HU <= lowest < _AIR_HU and data.max() > 0:
        return (*advice, f"the smallest value is {lowest:g}: if this is a CT in Hounsfield units, use --ct")
    return advice


def _doubts_about_ct(data: np.ndarray) -> tuple[str, ...]:
    low, high = _LIFTED_TISSUE
    lifted = np.count_nonzero((data >= low) & (data <= high)) / data.size
    if lifted > _LIFTED_SHARE:
        return (
            f"{100 * lifted:.2g} % of the voxels lie between {low:g} and {high:g}, where bone is in Hounsfield units: "
            "were 1000 or 1024 added to them?",
        )
    if data.min() < 0:
        return ()
    return ("no voxel is below 0 although CT was asked for: are the values Hounsfield units?",)


def _advice(lone: LoneValue) -> str:
    """Say what may be wrong with a scan that has a lone value, and what to do."""
    where = "below" if lone.value < lone.lowest else "above"
    return (
        f"{_share(lone)} are {lone.value:g}, far {where} all others ({lone.lowest:g} to {lone.highest:g}): if that is "
        "padding, replace it by the value of the background"
    )


def _share(lone: LoneValue) -> str:
    return f"{100 * lone.share:.2g} % of the voxels"
