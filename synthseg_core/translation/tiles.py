"""A large image translated tile by tile, without seams: overlapping tiles with Hann weights, summed in float64.

A function that changes nothing gives the image back bit for bit: weighted means of equal float32 values are exact when
they are made in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from synthseg_core.errors import UsageError

Translate: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Called with tiles (N, C, tile, tile) float32 and their corners (N, 2), row and column of the first pixel in the
padded image; returns (N, tile, tile). One call a row of tiles; what needs less memory divides them further."""


def translate_image(image: np.ndarray, translate: Translate, tile: int, overlap: int | None = None) -> np.ndarray:
    """Translate an image of any size.

    Parameters
    ----------
    image : (C, height, width)
        float32; channels are the image and its neighbours.
    translate
        See :data:`Translate`.
    tile
        Edge of the tiles, pixels. A smaller image is padded, see :func:`padded_shape`, with its outermost pixels.
    overlap
        Least number of pixels that neighbouring tiles share; ``None``: a quarter of a tile.

    Returns
    -------
    (height, width)
        float32.

    Raises
    ------
    UsageError
        If the overlap is not smaller than the tile.
    """
    overlap = tile // 4 if overlap is None else overlap
    if not 0 <= overlap < tile:
        raise UsageError(
            "overlap", found=str(overlap), expected=f"0 to {tile - 1}, less than the tile of {tile}", remedy="change it"
        )
    height, width = image.shape[1:]
    rows, columns = padded_shape((height, width), tile)
    padding = ((0, 0), (0, rows - height), (0, columns - width))
    padded = np.pad(image.astype(np.float32, copy=False), padding, mode="edge")
    return _blended(padded, translate, tile, overlap)[:height, :width]


def padded_shape(shape: tuple[int, int], tile: int) -> tuple[int, int]:
    """Return the shape (height, width) of an image in which a tile has room; corners of tiles refer to it."""
    height, width = shape
    return max(height, tile), max(width, tile)


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return where tiles begin along an axis, evenly, so that neighbours share at least ``overlap`` pixels.

    Examples
    --------
    >>> tile_starts(10, 4, 1)
    [0, 3, 6]
    >>> tile_starts(4, 4, 1)
    [0]
    """
    count = math.ceil((length - overlap) / (tile - overlap)) if length > tile else 1
    return [round(number * (length - tile) / max(count - 1, 1)) for number in range(count)]


def _blended(image: np.ndarray, translate: Translate, tile: int, overlap: int) -> np.ndarray:
    """Translate a row of tiles after the other; only the rows that two of them share are kept as sums."""
    _, height, width = image.shape
    rows, columns = tile_starts(height, tile, overlap), tile_starts(width, tile, overlap)
    weights = np.outer(_hann(tile), _hann(tile))
    out = np.empty((height, width), np.float32)
    sums, total = np.zeros((2, tile, width))
    for row, following in zip(rows, [*rows[1:], height], strict=True):
        tiles = np.stack([image[:, row : row + tile, column : column + tile] for column in columns])
        corners = np.array([(row, column) for column in columns])
        for column, done in zip(columns, translate(tiles, corners), strict=True):
            sums[:, column : column + tile] += weights * done
            total[:, column : column + tile] += weights
        ready = following - row
        out[row:following] = sums[:ready] / total[:ready]
        sums, total = (np.concatenate([part[ready:], np.zeros((ready, width))]) for part in (sums, total))
    return out


def _hann(count: int) -> np.ndarray:
    """Return weights that are highest in the middle and nowhere 0."""
    return np.sin((np.arange(count) + 0.5) * np.pi / count) ** 2
