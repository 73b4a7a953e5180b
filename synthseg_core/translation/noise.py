"""One field of noise for a whole scan, indexed by slice: a slice gets the same numbers whoever asks, in any order.

Overlapping tiles share it, and so do slices and their neighbours, which keeps them alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

_WORDS = 8  # of 32 bits, of a SHA-256


class NoiseField:
    """Standard normal numbers for the slices of a scan.

    Parameters
    ----------
    content
        Digest of what is translated, from :func:`content_digest`.
    seed, sample
        Asked for; number of the sample.
    shape
        Of a padded slice, (height, width).
    """

    def __init__(self, content: bytes, seed: int, sample: int, shape: tuple[int, int]) -> None:
        self._words = (*np.frombuffer(content, np.uint32, _WORDS).tolist(), seed, sample)
        self._shape = shape
        self._slice = lru_cache(maxsize=64)(self._draw)

    def tile(
        self, slices: Sequence[int], corner: tuple[int, int], shape: tuple[int, int], key: tuple[int, int]
    ) -> np.ndarray:
        """Return the noise of a tile, (len(slices), height, width) float32.

        Parameters
        ----------
        slices
            Numbers in the scan, one a channel.
        corner
            Row and column of its first pixel.
        shape
            Of the tile, (height, width).
        key
            Step of the diffusion, and what the noise is for.
        """
        rows, columns = (slice(start, start + count) for start, count in zip(corner, shape, strict=True))
        return np.stack([self._slice(number, key)[rows, columns] for number in slices])

    def _draw(self, number: int, key: tuple[int, int]) -> np.ndarray:
        generator = np.random.default_rng((*self._words, number, *key))
        return generator.standard_normal(self._shape, np.float32)


def content_digest(images: np.ndarray) -> bytes:
    """Return the SHA-256 of images: shape and values."""
    digest = hashlib.sha256(repr((images.shape, images.dtype.str)).encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    return digest.digest()
