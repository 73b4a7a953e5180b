"""Blocks of voxels as channels of one larger voxel, and back: a network sees every voxel and computes on an eighth.

With 2 x 2 x 2 blocks a network of 2 mm is given an image of 1 mm and answers for each of the eight voxels of a block.
Channel ``sub * C + c`` of a folded map is channel ``c`` of voxel ``sub`` of the block, counted like voxels of an
array, the last axis fastest.
"""

from __future__ import annotations

from torch import Tensor


def fold(maps: Tensor, edge: int) -> Tensor:
    """Return blocks of voxels as channels.

    Parameters
    ----------
    maps : (B, C, I, J, K)
        Edges divisible by ``edge``.
    edge
        Of a block, voxels.

    Returns
    -------
    (B, edge**3 * C, I / edge, J / edge, K / edge)
        Channels last in memory; ``maps`` itself where blocks are single voxels.
    """
    if edge == 1:
        return maps
    samples, channels, *shape = maps.shape
    i, j, k = (n // edge for n in shape)
    blocks = maps.movedim(1, -1).reshape(samples, i, edge, j, edge, k, edge, channels)
    return blocks.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(samples, i, j, k, edge**3 * channels).movedim(-1, 1)


def unfold(maps: Tensor, edge: int) -> Tensor:
    """Return channels of blocks as voxels: the inverse of :func:`fold`.

    Parameters
    ----------
    maps : (B, edge**3 * C, I, J, K)
        Folded.
    edge
        Of a block, voxels.

    Returns
    -------
    (B, C, edge * I, edge * J, edge * K)
        Channels last in memory; ``maps`` itself where blocks are single voxels.
    """
    if edge == 1:
        return maps
    samples, channels, i, j, k = maps.shape
    own = channels // edge**3
    voxels = maps.movedim(1, -1).reshape(samples, i, j, k, edge, edge, edge, own)
    return voxels.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(samples, i * edge, j * edge, k * edge, own).movedim(-1, 1)
