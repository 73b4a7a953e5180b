"""Render one channel of a sample from its deformed label map."""

from __future__ import annotations

import torch
from torch import Tensor

from synthseg_core.synth.bias_field import log_bias_field
from synthseg_core.synth.draw import BACKGROUND, BIAS, LOW_RESOLUTION, NOISE, BackgroundDraw, ChannelDraw, Draw
from synthseg_core.synth.intensity import clip_and_gamma, gradient_magnitude
from synthseg_core.synth.mixture import paint
from synthseg_core.synth.recipe import Recipe
from synthseg_core.synth.resolution import (
    AxisMatrices,
    acquire,
    along_axes,
    axis_matrices,
    blur_matrix,
    gaussian_kernel,
)
from synthseg_core.synth.seeds import generator
from synthseg_core.synth.shapes import SampleShape

_BACKGROUND_SIGMA = 1.0  # voxels, smoothness of the background of partial-volume mode
_EPSILON = 1e-7


def render(recipe: Recipe, classes: Tensor, shape: SampleShape, index_map: Tensor, draw: Draw, channel: int) -> Tensor:
    """Return one channel, (I, J, K) float32 in 0..1 on the output grid.

    Parameters
    ----------
    classes : (L,)
        Gaussian class of each entry of the label list.
    index_map : (I, J, K)
        List positions on the crop's grid.
    """
    one = draw.channels[channel]
    device = index_map.device
    means, stds = (torch.tensor(v, dtype=torch.float32, device=device)[classes] for v in (one.means, one.stds))
    image = paint(index_map, means, stds, generator(draw.stream(NOISE, channel), device))
    matrices = axis_matrices(recipe.resolution, one.acquisition, shape.voxel_size, shape.crop, shape.output)
    noise = generator(draw.stream(LOW_RESOLUTION, channel), device)
    if recipe.order == "bias_first":
        image = _bias_and_gamma(image, recipe, one, draw.stream(BIAS, channel))
        image = acquire(image, matrices, one.low_resolution_noise_std, noise)
    else:
        image = acquire(image, matrices, one.low_resolution_noise_std, noise)
        image = _with_background(
            image, index_map, matrices, one, recipe.background.mode, draw.stream(BACKGROUND, channel)
        )
        image = _bias_and_gamma(image, recipe, one, draw.stream(BIAS, channel))
    image = gradient_magnitude(image) if recipe.gradient else image
    return _without_missing(image, draw) if channel == 1 else image


def _bias_and_gamma(image: Tensor, recipe: Recipe, one: ChannelDraw, seed: int) -> Tensor:
    source = generator(seed)
    if one.bias_std > 0:
        log_field = log_bias_field(image.shape, one.bias_std, recipe.bias_field.scale, source, image.device)
        image = log_field.exp_().mul_(image)
    if one.noise_std > 0:
        extra = torch.randn(image.shape, generator=source)
        image = extra.to(image.device).mul_(one.noise_std).add_(image)
    return clip_and_gamma(image, recipe.intensity.clip, one.exponent, one.invert)


def _with_background(
    image: Tensor, index_map: Tensor, matrices: tuple[AxisMatrices, ...], one: ChannelDraw, mode: str, seed: int
) -> Tensor:
    """Replace what lies around the labels, as partial-volume SynthSeg does."""
    drawn = one.background
    if drawn is None:
        return image
    foreground = (index_map > 0).float()
    blurred = along_axes(foreground, [axis.restore @ axis.acquire for axis in matrices])
    inside = blurred > 0.5
    if mode == "reset":
        return image * inside if drawn.zero else image
    return torch.where(inside, image / (blurred + _EPSILON), _smooth_background(image, drawn, seed))


def _smooth_background(like: Tensor, drawn: BackgroundDraw, seed: int) -> Tensor:
    if drawn.zero:
        return torch.zeros_like(like)
    noise = torch.randn(like.shape, generator=generator(seed)).to(like.device) * drawn.std + drawn.mean
    kernel = gaussian_kernel(_BACKGROUND_SIGMA, 5)
    return along_axes(noise, [blur_matrix(n, kernel) for n in like.shape])


def _without_missing(image: Tensor, draw: Draw) -> Tensor:
    if draw.missing_share is None:
        return image
    axis, start, stop = draw.missing_share
    n = image.shape[axis]
    rows = torch.arange(n, device=image.device)
    keep = (rows < round(start * n)) | (rows >= round(stop * n))
    view = [1, 1, 1]
    view[axis] = -1
    return image * keep.reshape(view)
