"""Maps that tell a network how far to trust each voxel of a simulated acquisition; not part of published training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synthseg_core.synth.fields import axis_positions
from synthseg_core.synth.randomness import Triple
from synthseg_core.synth.resolution import sample_count


def sampling_map(
    kind: str, spacing_mm: Triple, voxel_size: Sequence[float], shape: Sequence[int], out: Sequence[int]
) -> Tensor:
    """Return the map of one acquisition.

    Parameters
    ----------
    kind
        ``distance`` to the nearest acquired sample in mm; ``reliability``, 1 where voxels were acquired, 0 where they
        were interpolated, shared linearly by two neighbours where a sample falls between voxels.
    spacing_mm
        Distance between samples.
    voxel_size, shape
        Of the grid that the acquisition is simulated from; mm, voxels.
    out
        Voxels of the grid that it is interpolated to.

    Returns
    -------
    ``out``
        float32.
    """
    counts = [sample_count(n, r / size) for n, r, size in zip(shape, spacing_mm, voxel_size, strict=True)]
    if kind == "reliability":
        x, y, z = (_comb(count, n) for count, n in zip(counts, out, strict=True))
        return (x[:, None, None] * y[:, None] * z).float()
    x, y, z = (_distance(count, n) * r for count, n, r in zip(counts, out, spacing_mm, strict=True))
    return (x[:, None, None].square() + y[:, None].square() + z.square()).sqrt().float()


def _distance(count: int, n: int) -> Tensor:
    """Return how far each of ``n`` voxels lies from the nearest of ``count`` samples, in distances of samples."""
    fraction = (axis_positions(n) * count / n) % 1
    return torch.minimum(fraction, 1 - fraction)


def _comb(count: int, n: int) -> Tensor:
    """Return 1 at voxels that are samples, shares at neighbours of samples between them, 0 elsewhere."""
    position = axis_positions(count) * n / count
    low = position.floor()
    comb = torch.zeros(n + 1, dtype=torch.float64)
    comb.index_add_(0, low.long(), 1 - (position - low))
    comb.index_add_(0, low.long() + 1, position - low)
    return comb[:n].clamp_(max=1)
