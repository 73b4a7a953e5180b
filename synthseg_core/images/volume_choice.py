"""Decide which three-dimensional part of a stored array is the scan, by its shape alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.errors import InputError
from synthseg_core.images.affines import Shape3, triple
from synthseg_core.system.words import counted

# Reference rule: a last axis of at most this many entries holds channels.
_MOST_CHANNELS = 10


@dataclass(frozen=True)
class Choice:
    """Index that takes the scan out of the stored array.

    Parameters
    ----------
    index
        A slice for each spatial axis, an integer for each other one.
    shape
        Voxels of the result.
    warnings
        What was left aside.
    """

    index: tuple[slice | int, ...]
    shape: Shape3
    warnings: tuple[str, ...] = ()

    @property
    def voxels(self) -> int:
        """Number of voxels of the result."""
        return math.prod(self.shape)


def choose_volume(stored: tuple[int, ...], volume: int | None, path: Path) -> Choice:
    """Take the first three axes, and one volume of a fourth axis.

    Raises
    ------
    InputError
        If there are fewer than three axes, more than one long axis beyond them, or no volume of that number.
    """
    if min(stored, default=0) < 1 or len(stored) < 3:
        raise _wrong_shape(stored, path)
    extra = stored[3:]
    count = math.prod(extra)
    if sum(n > 1 for n in extra) > 1:
        raise _wrong_shape(stored, path)
    if volume is not None and not 0 <= volume < count:
        raise InputError(
            path,
            found=f"{counted(count, 'volume')}, but number {volume} was asked for",
            expected=f"a number from 0 to {count - 1}" if count > 1 else "number 0",
            remedy="correct the volume number",
        )
    chosen = volume or 0
    index = (slice(None),) * 3 + tuple(chosen if n > 1 else 0 for n in extra)
    warned = volume is None and count > 1
    text = f"the file holds {count} volumes; the first is used; --volume N chooses another, 0 to {count - 1}"
    return Choice(index, triple(stored[:3]), (text,) if warned else ())


def choose_like_reference(stored: tuple[int, ...], volume: int | None, path: Path) -> Choice:
    """Drop axes of length 1, take channel 0 of a last axis of up to 10 entries, refuse what is then not 3-D.

    Raises
    ------
    InputError
        For shapes with which the reference fails: fewer than 3 axes, time series, stacks of 2 to 10 slices along the
        last axis.
    """
    del volume  # the reference always takes the first
    kept = [axis for axis, n in enumerate(stored) if n != 1]
    shape = tuple(stored[axis] for axis in kept)
    if 0 in shape or len(shape) < 3:
        raise _wrong_shape(stored, path)
    has_channels = shape[-1] <= _MOST_CHANNELS
    if len(shape) - has_channels != 3:
        raise _refused_like_reference(shape, path)
    index = tuple(slice(None) if axis in kept[:3] else 0 for axis in range(len(stored)))
    text = f"the last axis is taken as {shape[-1]} channels; only the first is used"
    return Choice(index, triple(shape[:3]), (text,) if has_channels else ())


def _wrong_shape(stored: tuple[int, ...], path: Path) -> InputError:
    if min(stored, default=0) < 1:
        found, remedy = "no voxels", "convert the scan again from its source"
    elif len(stored) < 4:
        found, remedy = "a 2-D image" if len(stored) == 2 else "a 1-D image", "give the whole volume, not one slice"
    else:
        found, remedy = f"a {len(stored)}-D image", "extract one 3-D volume"
    return InputError(
        path, found=f"{found} of shape {_text(stored)}", expected="a 3-D scan, or a 4-D one", remedy=remedy
    )


def _refused_like_reference(shape: tuple[int, ...], path: Path) -> InputError:
    if len(shape) == 3:
        found, remedy = f"only {shape[-1]} slices along the last axis", "use synthseg segment, which accepts them"
    else:
        found, remedy = f"an image of shape {_text(shape)}", "extract one 3-D volume, or use synthseg segment --volume"
    return InputError(
        path,
        found=found,
        expected=f"three axes, the last longer than {_MOST_CHANNELS}, as in the reference",
        remedy=remedy,
    )


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
