"""Diffusion in few steps: how noise is added, and how an image is drawn again when the clean one was guessed.

Step ``i`` of ``T`` leads from image ``i`` to the noisier image ``i + 1``; image 0 is clean, image ``T`` is noise. The
schedule is a name among MONAI's, so that its schedulers know it; the posterior is that of its ``DDPMScheduler``, here
with a step for each image of a batch, and with noise from outside, so that a slice always gets its own.

References
----------
Song et al., Score-based generative modeling through stochastic differential equations, ICLR 2021 (schedule); Ho et al.,
Denoising diffusion probabilistic models, NeurIPS 2020, equations 4, 6 and 7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from synthseg_core.networks.translators import monai_wanted

SCHEDULE = "synthseg_few_step_vp"
"""Name of the schedule among MONAI's ``NoiseSchedules``."""

# Of the variance-preserving process, and the time at which it begins.
_BETA_MIN, _BETA_MAX, _FIRST_TIME = 0.1, 20.0, 1e-3
_LEAST_VARIANCE = 1e-20


def few_step_betas(num_train_timesteps: int) -> Tensor:
    """Return the share of noise that each step adds, (T,) float64.

    Parameters
    ----------
    num_train_timesteps
        Number of steps; the name is MONAI's.

    Examples
    --------
    >>> few_step_betas(4).numpy().round(4).tolist()
    [0.4783, 0.8492, 0.9564, 0.9874]
    """
    steps = num_train_timesteps
    time = _FIRST_TIME + (1 - _FIRST_TIME) * torch.arange(steps + 1, dtype=torch.float64) / steps
    kept = torch.exp(-0.5 * time**2 * (_BETA_MAX - _BETA_MIN) - time * _BETA_MIN)
    return 1 - kept[1:] / kept[:-1]


def ddpm_scheduler(steps: int) -> Any:
    """Return MONAI's scheduler of this schedule, for networks that predict the clean image."""
    with monai_wanted():
        from monai.networks.schedulers.ddpm import DDPMScheduler
        from monai.networks.schedulers.scheduler import NoiseSchedules
    if SCHEDULE not in NoiseSchedules:
        NoiseSchedules.add(SCHEDULE, "variance preserving, in few steps", few_step_betas)
    return DDPMScheduler(steps, schedule=SCHEDULE, prediction_type="sample", clip_sample=False)


class FewSteps:
    """The tables of a diffusion in ``steps`` steps.

    Parameters
    ----------
    steps
        How many.
    """

    def __init__(self, steps: int) -> None:
        scheduler = ddpm_scheduler(steps)
        self.steps = steps
        self.betas: Tensor = scheduler.betas
        self.kept: Tensor = scheduler.alphas_cumprod
        self.kept_before = torch.cat([torch.ones(1, dtype=self.kept.dtype), self.kept[:-1]])
        self._posterior = _posterior_tables(self.betas, self.kept, self.kept_before)

    def noised(self, clean: Tensor, step: Tensor, noise: Tensor, more_noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images before and after a step, (B, C, H, W) each.

        Parameters
        ----------
        clean : (B, C, H, W)
            Images.
        step : (B,)
            Of each image, from 0.
        noise, more_noise : (B, C, H, W)
            Standard normal, of all steps before and of this one.
        """
        kept, beta = _at(self.kept_before, step, clean), _at(self.betas, step, clean)
        less = kept.sqrt() * clean + (1 - kept).sqrt() * noise
        return less, (1 - beta).sqrt() * less + beta.sqrt() * more_noise

    def posterior(self, clean: Tensor, more: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the image before a step, given the clean one and that after it.

        Parameters
        ----------
        clean, more : (B, C, H, W)
            The clean image and the noisier one.
        step : (B,)
            Of each image, from 0.
        """
        of_clean, of_more, variance = (_at(table, step, clean) for table in self._posterior)
        return of_clean * clean + of_more * more, variance.clamp(min=_LEAST_VARIANCE)

    def earlier(self, clean: Tensor, more: Tensor, step: Tensor, noise: Tensor) -> Tensor:
        """Draw the image before a step; of the last one, step 0, it is ``clean`` itself: no noise is added.

        Parameters
        ----------
        clean, more : (B, C, H, W)
            As of :meth:`posterior`.
        step : (B,)
            Of each image.
        noise : (B, C, H, W)
            Standard normal.
        """
        mean, variance = self.posterior(clean, more, step)
        return mean + (step > 0).to(mean.dtype)[:, None, None, None] * variance.sqrt() * noise

    def sample(self, predict: Callable[[Tensor, Tensor], Tensor], noise: Callable[[int], Tensor]) -> Tensor:
        """Return clean images, step by step from noise.

        Parameters
        ----------
        predict
            Returns the clean image from the noisy one and its step, (B, C, H, W) and (B,).
        noise
            Returns standard normal numbers (B, C, H, W) by number: ``T`` those to begin with, below it those of a step.
        """
        images = noise(self.steps)
        for number in range(self.steps - 1, -1, -1):
            step = torch.full((len(images),), number, device=images.device)
            images = self.earlier(predict(images, step), images, step, noise(number))
        return images


def _posterior_tables(beta: Tensor, kept: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each step the weights of the clean and the noisier image in the mean, and the variance; float64."""
    of_clean = beta * before.sqrt() / (1 - kept)
    of_more = (1 - before) * (1 - beta).sqrt() / (1 - kept)
    return of_clean, of_more, beta * (1 - before) / (1 - kept)


def _at(table: Tensor, step: Tensor, like: Tensor) -> Tensor:
    """Return an entry for each image, in its number format."""
    return table.to(like.device)[step].to(like.dtype)[:, None, None, None]
