"""Intensity augmentation: clipping, normalisation, gamma, gradient magnitude."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

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
