"""One contrast of a sample, from its deformed label map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from synthseg_core.synth.draw import BACKGROUND, BIAS, LOW_RESOLUTION, NOISE, BackgroundDraw, ChannelDraw, Draw
from synthseg_core.synth.intensities import clip_and_gamma, gradient_magnitude, log_bias_field, paint
from synthseg_core.synth.randomness import generator
from synthseg_core.synth.recipe import Recipe
from synthseg_core.synth.resolution import (
    AxisMatrices,
    acquire,
    along_axes,
    axis_matrices,
    blur_matrix,
    gaussian_kernel,
    sampling_map,
)
from synthseg_core.synth.shapes import SampleShape

_BACKGROUND_SIGMA = 1.0  # voxels, smoothness of the background of partial-volume mode
_EPSILON = 1e-7
_EDGE = 0.5  # of the blurred mask of the labels: the background begins below


@dataclass(frozen=True)
class Channel:
    """One contrast of a sample: how it is made from the deformed label map.

    Parameters
    ----------
    number
        Of the contrast, from 0.
    """

    recipe: Recipe
    shape: SampleShape
    draw: Draw
    number: int

    @property
    def drawn(self) -> ChannelDraw:
        """The numbers of this contrast."""
        return self.draw.channels[self.number]

    def render(self, classes: Tensor, index_map: Tensor) -> Tensor:
        """Return the image, (1, I, J, K) float32 in 0..1 on the output grid; (2, ...) with a map of its samples.

        Parameters
        ----------
        classes : (L,)
            Gaussian class of each entry of the label list.
        index_map : (I, J, K)
            List positions on the crop's grid.
        """
        device = index_map.device
        parameters = (self.drawn.means, self.drawn.stds)
        means, stds = (torch.tensor(values, dtype=torch.float32, device=device)[classes] for values in parameters)
        image = paint(index_map, means, stds, generator(self._seed(NOISE), device))
        if self.recipe.order == "bias_first":
            image = self.acquired(self.with_bias_and_gamma(image))
        else:
            image = self.with_bias_and_gamma(self._with_background(image, (index_map > 0).float()))
        image = gradient_magnitude(image) if self.recipe.gradient else image
        image = _without_missing(image, self.draw) if self.number == 1 else image
        return torch.stack([image, *self._sampling_maps(device)])

    def _seed(self, kind: int) -> int:
        return self.draw.stream(kind, self.number)

    @cached_property
    def _matrices(self) -> tuple[AxisMatrices, ...]:
        shape = self.shape
        return axis_matrices(self.recipe.resolution, self.drawn.acquisition, shape.voxel_size, shape.crop, shape.output)

    def acquired(self, image: Tensor) -> Tensor:
        """Return an image of the crop as the scanner would sample it, on the output grid."""
        noise = generator(self._seed(LOW_RESOLUTION), image.device)
        return acquire(image, self._matrices, self.drawn.low_resolution_noise_std, noise)

    def with_bias_and_gamma(self, image: Tensor) -> Tensor:
        """Return an image of the crop with bias field, noise and another contrast, in 0..1."""
        drawn, source = self.drawn, generator(self._seed(BIAS))
        if drawn.bias_std > 0:
            log_field = log_bias_field(image.shape, drawn.bias_std, self.recipe.bias_field, source, image.device)
            image = log_field.exp_().mul_(image)
        if drawn.noise_std > 0:
            extra = torch.randn(image.shape, generator=source)
            image = extra.to(image.device).mul_(drawn.noise_std).add_(image)
        return clip_and_gamma(image, self.recipe.intensity.clip, drawn.exponent, drawn.invert)

    def _with_background(self, image: Tensor, foreground: Tensor) -> Tensor:
        """Simulate the acquisition, and replace what lies around the labels as partial-volume SynthSeg does."""
        drawn, masked = self.drawn.background, self.recipe.background.mode == "masked"
        image = self.acquired(image * foreground if masked else image)
        if drawn is None or not (masked or drawn.zero):
            return image
        blurred = along_axes(foreground, [axis.restore @ axis.acquire for axis in self._matrices])
        if masked:
            around = _smooth_background(image, drawn, self._seed(BACKGROUND))
            return torch.where(blurred > _EDGE, image / (blurred + _EPSILON), around)
        return image * (blurred > _EDGE)

    def _sampling_maps(self, device: torch.device) -> list[Tensor]:
        recipe, shape = self.recipe, self.shape
        if recipe.sampling_map == "none":
            return []
        spacing = self.drawn.acquisition.spacing_mm if recipe.resolution.sample_again else shape.voxel_size
        return [sampling_map(recipe.sampling_map, spacing, shape.voxel_size, shape.crop, shape.output).to(device)]


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
