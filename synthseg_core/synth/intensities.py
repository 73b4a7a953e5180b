"""Intensities: one Gaussian per class, with random or prior-driven parameters.

Multiplicative bias fields.

Intensity augmentation: clipping, normalisation, gamma, gradient magnitude.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from synthseg_core.errors import UsageError
from synthseg_core.synth.fields import resize_linear
from synthseg_core.synth.priors import IntensityPriors, Pairs
from synthseg_core.synth.randomness import chance, normal, uniform
from synthseg_core.synth.recipe import BiasFieldSpec, MixtureSpec

# Share of samples whose background is exactly zero, and share whose background is dark or zero.
_ZERO_BACKGROUND, _DARK_BACKGROUND = 0.05, 0.3
_DARK_MEAN, _DARK_STD = 15.0, 5.0
Numbers = tuple[float, ...]


def draw_mixture(
    spec: MixtureSpec, n_classes: int, channel: int, generator: torch.Generator
) -> tuple[Numbers, Numbers]:
    """Draw mean and standard deviation of every class, class 0 being the background.

    Differences from the reference, by choice: a fallback from priors is uniform even where the priors are normal, and
    mean and standard deviation come from the same block of the priors.
    """
    priors = spec.priors
    check_priors(priors, n_classes)
    if priors is None:
        means, stds = (_draw_uniform(bounds, n_classes, generator) for bounds in (spec.means, spec.stds))
    else:
        block = channel if priors.block_per_channel else int(uniform(0, len(priors.means), generator))
        pairs = ((priors.means[block], spec.means), (priors.stds[block], spec.stds))
        means, stds = (
            _draw_uniform(bounds, n_classes, generator)
            if spec.mix_prior_and_random and chance(0.5, generator)
            else _draw_prior(prior, priors.distribution, generator)
            for prior, bounds in pairs
        )
    if spec.random_background:
        means[0], stds[0] = _background(means[0], stds[0], generator)
    return tuple(means), tuple(stds)


def check_priors(priors: IntensityPriors | None, n_classes: int) -> None:
    """Refuse priors made for another number of classes."""
    if priors is not None and priors.n_classes != n_classes:
        raise UsageError(
            "intensity priors",
            found=f"{priors.n_classes} classes",
            expected=f"{n_classes}, as in the label list",
            remedy="choose the matching class column or estimate priors again",
        )


def paint(index_map: Tensor, means: Tensor, stds: Tensor, generator: torch.Generator) -> Tensor:
    """Return an image with ``means[label] + stds[label] * noise`` in every voxel.

    Parameters
    ----------
    index_map : (I, J, K)
        Position of each voxel's label in the label list.
    means, stds : (L,)
        Per entry of the label list.
    generator
        On the device of ``index_map``.
    """
    index = index_map.int()
    noise = torch.randn(index_map.shape, generator=generator, device=index_map.device)
    return noise.mul_(stds[index]).add_(means[index])


def _draw_uniform(bounds: tuple[float, float], n_classes: int, generator: torch.Generator) -> list[float]:
    return [uniform(*bounds, generator) for _ in range(n_classes)]


def _draw_prior(pairs: Pairs, distribution: str, generator: torch.Generator) -> list[float]:
    """Draw one number per class; negative ones become 0."""
    sample = normal if distribution == "normal" else uniform
    return [max(0.0, sample(first, second, generator)) for first, second in pairs]


def _background(mean: float, std: float, generator: torch.Generator) -> tuple[float, float]:
    share = uniform(0, 1, generator)
    if share < _ZERO_BACKGROUND:
        return 0.0, 0.0
    if share < _DARK_BACKGROUND:
        return uniform(0, _DARK_MEAN, generator), uniform(0, _DARK_STD, generator)
    return mean, std


def log_bias_field(
    shape: Sequence[int],
    std: float,
    spec: BiasFieldSpec,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return the logarithm of a bias field, (I, J, K) float32.

    Gaussian noise on ``ceil(n * scale)`` nodes per axis, interpolated linearly; unless grids are centred, about the
    last ``1 / scale`` voxels of an axis are constant (see :func:`synthseg_core.synth.fields.resize_positions`).
    """
    nodes = [math.ceil(n * spec.scale) for n in shape]
    noise = torch.randn(nodes, generator=generator).to(device) * std
    return resize_linear(noise, shape, spec.centred_grid)


_EPSILON = 1e-7  # the reference's, against images of one value
_LARGEST_GRADIENT = 10.0


def normalise(image: Tensor) -> Tensor:
    """Map minimum and maximum of one channel to 0 and 1."""
    low, high = torch.aminmax(image)
    return (image - low) / (high - low + _EPSILON)


def clip_and_gamma(image: Tensor, clip: float, exponent: float, invert: bool = False) -> Tensor:
    """Clip to ``[0, clip]``, normalise, raise to ``exponent``, and swap dark and bright if asked to."""
    powered = normalise(image.clamp(0, clip)).pow_(exponent)
    return powered.neg_().add_(1) if invert else powered


def gradient_magnitude(image: Tensor) -> Tensor:
    """Return the normalised magnitude of the 3-D Sobel derivatives of one channel (I, J, K)."""
    smooth, slope = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0])
    kernels = [
        torch.einsum("i,j,k->ijk", *(slope if axis == other else smooth for other in range(3))) for axis in range(3)
    ]
    weight = torch.stack(kernels)[:, None].to(image)
    padded = functional.pad(image[None, None], (1,) * 6, mode="replicate")
    squares = functional.conv3d(padded, weight).square_().sum(dim=(0, 1))
    return normalise(squares.sqrt_().clamp_(0, _LARGEST_GRADIENT))
