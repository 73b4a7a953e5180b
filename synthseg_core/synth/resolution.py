"""Acquisition at low resolution: blur, sampling and interpolation back, as one matrix per axis.

Maps that tell a network how far to trust each voxel of a simulated acquisition; not part of published training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthseg_core.images.affines import Size3, triple
from synthseg_core.synth.fields import axis_positions
from synthseg_core.synth.randomness import chance, uniform
from synthseg_core.synth.recipe import ResolutionSpec

# Standard deviation of the blur as a share of the slice thickness, and in voxels where nothing is lost.
_BLUR_SHARE, _NATIVE_SIGMA = 0.75, 0.5
_FULL_WINDOW = 3.0  # standard deviations on either side
_SAME = 1e-6  # edge lengths of affines in single precision are this close to the round numbers that they stand for


@dataclass(frozen=True)
class Acquisition:
    """Resolution of one channel of one sample.

    Parameters
    ----------
    spacing_mm, thickness_mm
        Distance between samples and width of a sample, per axis.
    blur_factor
        Factor on the blur's standard deviation, per axis.
    """

    spacing_mm: Size3
    thickness_mm: Size3
    blur_factor: Size3


def draw_acquisition(
    spec: ResolutionSpec, voxel_size: Sequence[float], channel: int, generator: torch.Generator
) -> Acquisition:
    """Draw spacing and thickness, or take the fixed ones, and draw the jitter of the blur."""
    native = triple(map(float, voxel_size))
    if spec.mode == "fixed":
        spacing = native if spec.spacing_mm is None else spec.spacing_mm[channel]
        thickness = spacing if spec.thickness_mm is None else spec.thickness_mm[channel]
    else:
        spacing = _random_spacing(spec, native, generator)
        thickness = triple([uniform(a, b, generator) for a, b in zip(native, spacing, strict=True)])
    factor = triple([uniform(1 / spec.blur_range, spec.blur_range, generator) for _ in range(3)])
    return Acquisition(spacing, thickness, factor)


def _random_spacing(spec: ResolutionSpec, native: Size3, generator: torch.Generator) -> Size3:
    if chance(spec.native_probability, generator):
        return native
    if chance(spec.all_axes_probability, generator):
        share = [uniform(0, 1, generator)] * 3 if spec.equal_axes else [uniform(0, 1, generator) for _ in range(3)]
        return triple([r + u * (max(spec.max_all_axes_mm, r) - r) for r, u in zip(native, share, strict=True)])
    axis = int(uniform(0, 3, generator))
    spacing = list(native)
    spacing[axis] = uniform(native[axis], max(spec.max_one_axis_mm, native[axis]), generator)
    return triple(map(float, spacing))


def blur_sigma_voxels(acquisition: Acquisition, voxel_size: Sequence[float]) -> Size3:
    """Return the blur's nominal deviation per axis: 0.75 of the thinner of spacing and thickness; 0.5 where native."""
    sigmas = []
    for axis, size in enumerate(voxel_size):
        width = min(acquisition.spacing_mm[axis], acquisition.thickness_mm[axis])
        native = math.isclose(width, size, rel_tol=_SAME)
        sigmas.append(_NATIVE_SIGMA if native else _BLUR_SHARE * width / size)
    return triple(map(float, sigmas))


def blur_taps(spec: ResolutionSpec, voxel_size: float, sigma: float) -> int:
    """Return the number of taps of the blur along one axis.

    In random mode the reference uses one window for all draws, made for the largest spacing; it truncates wide kernels
    (a nominal 6 voxels acts like 3.9), and the published networks were trained on that.
    """
    if spec.full_blur:
        return 2 * math.ceil(_FULL_WINDOW * spec.blur_range * sigma) + 1
    if spec.mode == "random":
        sigma = _BLUR_SHARE * max(spec.max_all_axes_mm, spec.max_one_axis_mm) / voxel_size
    elif spec.wide_window:
        sigma *= spec.blur_range
    return 2 * (math.ceil(2.5 * sigma) // 2) + 1


def gaussian_kernel(sigma: float, taps: int) -> np.ndarray:
    """Return a Gaussian of odd length with sum 1; a single one for ``sigma`` 0."""
    if sigma == 0:
        return np.ones(1)
    offsets = np.arange(taps) - taps // 2
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    return kernel / kernel.sum()


def blur_matrix(n: int, kernel: np.ndarray) -> np.ndarray:
    """Return convolution with zero padding as an (n, n) matrix: edges darken."""
    half = len(kernel) // 2
    return sum((weight * np.eye(n, k=k - half) for k, weight in enumerate(kernel)), start=np.zeros((n, n)))


def sample_count(n: int, step: float) -> int:
    """Return how many samples ``step`` voxels apart represent ``n`` voxels."""
    return max(int(n / step * (1 + _SAME)), 1)


def sampling_matrix(n: int, step: float) -> np.ndarray:
    """Return nearest-neighbour sampling every ``step`` voxels as a (d + 1, n) matrix, d being :func:`sample_count`.

    The last row stands behind the last sample: it is the last voxel, as in the reference.
    """
    count = sample_count(n, step)
    index = np.minimum(np.round(np.minimum(np.arange(count + 1) * n / count, n)).astype(int), n - 1)
    return np.eye(n)[index]


def interpolation_matrix(count: int, n_out: int) -> np.ndarray:
    """Return linear interpolation at ``i * count / n_out`` as an (n_out, count + 1) matrix."""
    position = np.arange(n_out) * count / n_out
    low = np.floor(position).astype(int)
    weight = (position - low)[:, None]
    identity = np.eye(count + 1)
    return (1 - weight) * identity[low] + weight * identity[low + 1]


@dataclass(frozen=True)
class AxisMatrices:
    """Blur and sampling (d + 1, n), then interpolation (m, d + 1), along one axis."""

    acquire: np.ndarray
    restore: np.ndarray


def axis_matrices(
    spec: ResolutionSpec,
    acquisition: Acquisition,
    voxel_size: Sequence[float],
    shape: Sequence[int],
    out: Sequence[int],
) -> tuple[AxisMatrices, ...]:
    """Return what simulates an acquisition, per axis: ``shape`` voxels come in, ``out`` voxels go out."""
    sigmas = blur_sigma_voxels(acquisition, voxel_size)
    matrices = []
    for axis, (n, m) in enumerate(zip(shape, out, strict=True)):
        taps = blur_taps(spec, voxel_size[axis], sigmas[axis])
        kernel = gaussian_kernel(sigmas[axis] * acquisition.blur_factor[axis], taps)
        step = acquisition.spacing_mm[axis] / voxel_size[axis] if spec.sample_again else 1.0
        sampling = sampling_matrix(n, step)
        matrices.append(AxisMatrices(sampling @ blur_matrix(n, kernel), interpolation_matrix(len(sampling) - 1, m)))
    return tuple(matrices)


def acquire(image: Tensor, matrices: Sequence[AxisMatrices], noise_std: float, generator: torch.Generator) -> Tensor:
    """Blur, sample, optionally add noise at low resolution, and interpolate back; one channel (I, J, K)."""
    if noise_std == 0:
        return along_axes(image, [axis.restore @ axis.acquire for axis in matrices])
    low = along_axes(image, [axis.acquire for axis in matrices])
    low = low + noise_std * torch.randn(low.shape, generator=generator, device=low.device)
    return along_axes(low, [axis.restore for axis in matrices])


def along_axes(image: Tensor, matrices: Sequence[np.ndarray]) -> Tensor:
    """Multiply a matrix along each of the three axes."""
    for axis, matrix in enumerate(matrices):
        weights = torch.from_numpy(matrix).to(device=image.device, dtype=image.dtype)
        image = torch.movedim(torch.tensordot(weights, image.movedim(axis, 0), dims=1), 0, axis)
    return image.contiguous()


def sampling_map(
    kind: str, spacing_mm: Size3, voxel_size: Sequence[float], shape: Sequence[int], out: Sequence[int]
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
