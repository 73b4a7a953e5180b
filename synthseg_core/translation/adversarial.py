"""Losses of networks that judge each other, and one step of a training: discriminators first, then all generators.

References
----------
Goodfellow et al., Generative adversarial nets, NeurIPS 2014 (non-saturating loss); Mescheder et al., Which training
methods for GANs do actually converge?, ICML 2018 (R1 penalty); Zhu et al., ICCV 2017 (cycle); Xiao et al., ICLR 2022
(noisy pairs).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.translator_config import TranslatorNetworks
from synthseg_core.translation.config import LossWeights
from synthseg_core.translation.diffusion import FewSteps

WAYS = ("forward", "backward")
"""From the first domain to the second, and back."""


def real_loss(logits: Tensor) -> Tensor:
    """Return what a discriminator loses on true images, and a generator on its own: the mean of softplus(-logit)."""
    return functional.softplus(-logits.float()).mean()


def fake_loss(logits: Tensor) -> Tensor:
    """Return what a discriminator loses on made images: the mean of softplus(logit)."""
    return functional.softplus(logits.float()).mean()


def gradient_penalty(judge: Callable[[Tensor], Tensor], images: Tensor, gamma: float) -> Tensor:
    """Return the R1 penalty: half of gamma times the squared length of the gradient of the logits, mean over images.

    Parameters
    ----------
    judge
        Returns logits of images, any number for each.
    images : (B, C, H, W)
        True ones.
    gamma
        Weight.
    """
    images = images.detach().requires_grad_()
    logits = judge(images).float()
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return 0.5 * gamma * gradient.square().sum((1, 2, 3)).mean()


@dataclass(frozen=True)
class Draws:
    """Random numbers of one step, for the image that is made in each way.

    Parameters
    ----------
    step : (B,)
        Of the noise.
    noise : (3, B, C, H, W)
        Of the steps before, of this one, and of the posterior.
    latent : (B, L, H, W)
        For the generator.
    """

    step: Tensor
    noise: Tensor
    latent: Tensor


@dataclass(frozen=True)
class Made:
    """What generators made of true images in one way; float32, as what judges it, whatever the generators compute in.

    Parameters
    ----------
    translated
        Into the domain of ``true``, in one pass.
    returned
        ``true`` translated there and back.
    guess
        ``true`` as guessed from a noisy one; ``None`` without diffusion, like the next three.
    less, more
        True image before and after a step of noise.
    drawn
        The image before the step, drawn from the guess.
    step
        Which.
    """

    true: Tensor
    translated: Tensor
    returned: Tensor
    guess: Tensor | None = None
    less: Tensor | None = None
    more: Tensor | None = None
    drawn: Tensor | None = None
    step: Tensor | None = None


class Adversaries:
    """Generators and discriminators of both ways, and what they lose.

    Parameters
    ----------
    networks
        Their shapes.
    losses
        Weights.
    generators, discriminators
        The networks, by the names of :mod:`synthseg_core.networks.translators`.
    """

    def __init__(
        self,
        networks: TranslatorNetworks,
        losses: LossWeights,
        generators: nn.ModuleDict,
        discriminators: nn.ModuleDict,
    ) -> None:
        self.networks = networks
        self.losses = losses
        self.generators = generators
        self.discriminators = discriminators
        self.process = FewSteps(networks.diffusion.steps) if networks.method == "diffusion" else None

    def make(self, first: Tensor, second: Tensor, draws: Mapping[str, Draws]) -> dict[str, Made]:
        """Return what generators make, by way.

        Parameters
        ----------
        first, second : (B, C, H, W)
            True images of both domains, which do not belong together.
        draws
            Random numbers by way; not read without diffusion.
        """
        there, back = (self.generators[f"cycle_{way}"] for way in WAYS)
        into_second, into_first = there(first), back(second)
        made = {
            "forward": Made(second, into_second.float(), there(into_first).float()),
            "backward": Made(first, into_first.float(), back(into_second).float()),
        }
        if self.process is None:
            return made
        return {
            "forward": self._with_diffusion("forward", made["forward"], into_first, draws["forward"]),
            "backward": self._with_diffusion("backward", made["backward"], into_second, draws["backward"]),
        }

    def _with_diffusion(self, way: str, made: Made, source: Tensor, draws: Draws) -> Made:
        """Guess the true images from noisy ones and from their own translation, instead of the pair that is missing."""
        assert self.process is not None
        less, more = self.process.noised(made.true, draws.step, draws.noise[0], draws.noise[1])
        guess = self.generators[f"diffusion_{way}"](more, source, draws.step, draws.latent)
        drawn = self.process.earlier(guess.float(), more, draws.step, draws.noise[2])
        return Made(made.true, made.translated, made.returned, guess, less, more, drawn, draws.step)

    def discriminator_loss(self, made: Mapping[str, Made], *, penalised: bool) -> dict[str, Tensor]:
        """Return the losses of discriminators by name; nothing of them reaches the generators.

        Parameters
        ----------
        made
            By way.
        penalised
            Whether the R1 penalty is due.
        """
        parts: dict[str, Tensor] = {}
        for way, one in made.items():
            patches = self.discriminators[f"cycle_{way}"]
            parts[f"cycle_{way}"] = real_loss(patches(one.true)) + fake_loss(patches(one.translated.detach()))
            if one.drawn is None:
                continue
            assert one.less is not None
            judge = self._timed(way, one)
            parts[f"diffusion_{way}"] = real_loss(judge(one.less)) + fake_loss(judge(one.drawn.detach()))
            if penalised:
                parts[f"penalty_{way}"] = gradient_penalty(judge, one.less, self.losses.gradient_penalty)
        return parts

    def generator_loss(self, made: Mapping[str, Made]) -> dict[str, Tensor]:
        """Return the weighted losses of generators by kind, summed over both ways."""
        parts: dict[str, Tensor] = {}

        def add(name: str, weight: float, value: Tensor) -> None:
            parts[name] = parts.get(name, torch.zeros(())) + weight * value

        weights = self.losses
        for way, one in made.items():
            patches = self.discriminators[f"cycle_{way}"]
            add("adversarial", weights.adversarial, real_loss(patches(one.translated)))
            add("cycle", weights.cycle, functional.l1_loss(one.returned, one.true))
            if one.guess is not None and one.drawn is not None:
                add("adversarial", weights.adversarial, real_loss(self._timed(way, one)(one.drawn)))
                add("reconstruction", weights.reconstruction, functional.l1_loss(one.guess.float(), one.true))
        return parts

    def _timed(self, way: str, made: Made) -> Callable[[Tensor], Tensor]:
        """Return what judges images as those before the step of ``made``."""
        judge = self.discriminators[f"diffusion_{way}"]
        return lambda less: judge(less, made.more, made.step)
