"""Smooth random fields: linear resizing between grids, and stationary velocity fields with their flow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

SQUARINGS = 7  # the reference's number of scaling-and-squaring steps


def axis_positions(n: int, start: int = 0, stop: int | None = None, step: int = 1) -> Tensor:
    """Return the indices ``start, start + step, ...`` below ``stop`` as float64."""
    return torch.arange(start, n if stop is None else stop, step, dtype=torch.float64)


def resize_positions(n_in: int, n_out: int, centred: bool = False) -> Tensor:
    """Return where output samples lie among input samples: ``i * n_in / n_out``; float64.

    Grids share their first corner, without a half-voxel shift, and positions are clamped to the last input sample, so
    that about ``n_out / n_in`` last samples are equal (the reference's mapping, wherever it resizes). ``centred`` grids
    share their centre instead.
    """
    return positions_within(axis_positions(n_out), n_in, n_out, centred)


def positions_within(indices: Tensor, n_in: int, n_out: int, centred: bool = False) -> Tensor:
    """Return :func:`resize_positions` for some of the output samples."""
    shift = 0.5 if centred else 0.0
    return ((indices + shift) * n_in / n_out - shift).clamp_(0, n_in - 1)


def interpolate_axis(x: Tensor, axis: int, positions: Tensor) -> Tensor:
    """Interpolate linearly along one axis at fractional positions; every result depends on its own position alone."""
    low = positions.floor().clamp_(0, x.shape[axis] - 1)
    high = (low + 1).clamp_(max=x.shape[axis] - 1)
    shape = [1] * x.ndim
    shape[axis] = -1
    weight = (positions - low).to(device=x.device, dtype=x.dtype).reshape(shape)
    below, above = (x.index_select(axis, index.long().to(x.device)) for index in (low, high))
    return above.sub_(below).mul_(weight).add_(below)


def resize_linear(x: Tensor, shape: Sequence[int], centred: bool = False) -> Tensor:
    """Resize the last three axes with :func:`resize_positions`."""
    for axis, n_out in zip((-3, -2, -1), shape, strict=True):
        if x.shape[axis] != n_out:
            x = interpolate_axis(x, axis, resize_positions(x.shape[axis], n_out, centred))
    return x


def resize_nearest(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Resize the last three axes by taking the nearest sample of :func:`resize_positions`."""
    for axis, n_out in zip((-3, -2, -1), shape, strict=True):
        if x.shape[axis] != n_out:
            index = resize_positions(x.shape[axis], n_out).round_().long().to(x.device)
            x = x.index_select(axis, index)
    return x


def integrate_velocity(velocity: Tensor, squarings: int = SQUARINGS) -> Tensor:
    """Return the displacement that flowing along a stationary velocity field for unit time gives.

    Parameters
    ----------
    velocity : (3, I, J, K)
        Voxels of this very grid per unit time, components in axis order.
    squarings
        Scaling-and-squaring steps.

    Returns
    -------
    (3, I, J, K)
        Displacement, voxels; a diffeomorphism for fields that are smooth enough.

    References
    ----------
    Arsigny et al., A log-Euclidean framework for statistics on diffeomorphisms, MICCAI 2006.
    """
    displacement = velocity / 2**squarings
    where = _Grid(velocity)
    for _ in range(squarings):
        displacement = displacement + where.sample(displacement)
    return displacement


class _Grid:
    """Samples a vector field at the points that it moves its own grid to; edges are repeated."""

    def __init__(self, like: Tensor) -> None:
        sizes = like.shape[1:]
        self._scale = torch.tensor([2 / max(n - 1, 1) for n in reversed(sizes)], device=like.device)
        axes = [torch.linspace(-1, 1, n, device=like.device) if n > 1 else torch.zeros(1) for n in sizes]
        grid = torch.meshgrid(*[axis.to(like.device) for axis in axes], indexing="ij")
        self._identity = torch.stack(grid[::-1], dim=-1)

    def sample(self, field: Tensor) -> Tensor:
        """Return ``field`` at x + field(x)."""
        return _sampled(field, self._identity + field.flip(0).permute(1, 2, 3, 0) * self._scale)


def _sampled(field: Tensor, grid: Tensor) -> Tensor:
    """Sample (3, I, J, K) at the points (I, J, K, 3) of ``grid_sample``.

    On the CPU torch deals the entries of a batch out to threads, not the points of one field: so each thread is given a
    share of the points as an entry of a batch.
    """
    points = grid.reshape(-1, 3)
    shares = torch.get_num_threads() if field.device.type == "cpu" else 1
    each = -(-len(points) // shares)
    if shares * each > len(points):
        points = functional.pad(points, (0, 0, 0, shares * each - len(points)))
    found = functional.grid_sample(
        field.expand(shares, *field.shape),
        points.view(shares, each, 1, 1, 3),
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    return found.transpose(0, 1).reshape(3, -1)[:, : grid[..., 0].numel()].reshape(field.shape)
