"""Diffusion in few steps against the formulas written out, against MONAI, and against what many draws say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from synthseg_core.translation.diffusion import FewSteps, ddpm_scheduler, few_step_betas


def _kept(time):
    return math.exp(-0.5 * time**2 * (20 - 0.1) - time * 0.1)


def _time(number, steps):
    return 0.001 + 0.999 * number / steps


def test_schedule_of_four_steps_is_the_one_on_paper():
    assert few_step_betas(4).tolist() == pytest.approx([0.4783, 0.8492, 0.9564, 0.9874], abs=5e-5)
    assert FewSteps(4).kept.sqrt().tolist() == pytest.approx([0.722, 0.281, 0.059, 0.0066], abs=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_betas_and_what_is_kept_follow_the_closed_form(steps):
    process = FewSteps(steps)
    for number in range(steps):
        before, after = (_kept(_time(n, steps)) for n in (number, number + 1))
        assert float(process.betas[number]) == pytest.approx(1 - after / before, abs=1e-9)
        assert float(process.kept[number]) == pytest.approx(after / _kept(_time(0, steps)), rel=1e-7)
    assert float(process.kept[-1]) < 1e-4


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_posterior_equals_the_closed_form_and_monai(step):
    generator = torch.Generator().manual_seed(step)
    clean, more = (torch.randn(2, 1, 3, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    process, scheduler = FewSteps(4), ddpm_scheduler(4)
    mean, variance = process.posterior(clean, more, torch.tensor([step, step]))
    kept = [1.0, *np.cumprod(1 - few_step_betas(4).numpy())]
    beta, before, after = 1 - kept[step + 1] / kept[step], kept[step], kept[step + 1]
    by_hand = beta * math.sqrt(before) / (1 - after) * clean + (1 - before) * math.sqrt(1 - beta) / (1 - after) * more
    assert torch.allclose(mean, by_hand, rtol=0, atol=1e-7)
    assert float(variance[0]) == pytest.approx(max(beta * (1 - before) / (1 - after), 1e-20), abs=1e-7)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    ours = process.earlier(clean, more, torch.tensor([step, step]), noise)
    theirs, _ = scheduler.step(clean, step, more, generator=torch.Generator().manual_seed(7))
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-7)


def test_last_step_adds_no_noise():
    clean, more, noise = torch.full((1, 1, 2, 2), 0.3), torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), 9.0)
    assert torch.equal(FewSteps(4).earlier(clean, more, torch.tensor([0]), noise), clean)


def test_mean_and_variance_of_noised_images_over_many_draws():
    process, draws = FewSteps(4), 200_000
    generator = torch.Generator().manual_seed(0)
    clean = torch.full((draws, 1, 1, 1), 0.7)
    for step in range(4):
        noise, more_noise = (torch.randn(clean.shape, generator=generator) for _ in range(2))
        steps = torch.full((draws,), step)
        for image, kept in zip(
            process.noised(clean, steps, noise, more_noise), (process.kept_before, process.kept), strict=True
        ):
            wanted = float(kept[step])
            assert float(image.mean()) == pytest.approx(0.7 * wanted**0.5, abs=0.01)
            assert float(image.var()) == pytest.approx(1 - wanted, abs=0.01)


def test_two_steps_of_noise_are_one_by_monai():
    """Noise of the steps before and noise of this one add up to what MONAI adds at once."""
    process, scheduler, clean = FewSteps(4), ddpm_scheduler(4), torch.full((1, 1, 1, 1), 0.5)
    step, zero = torch.tensor([2]), torch.zeros(1, 1, 1, 1)
    _, more = process.noised(clean, step, zero, zero)
    assert float(more) == pytest.approx(float(scheduler.add_noise(clean, zero, step)), abs=1e-7)


def test_sampling_with_a_perfect_guess_ends_at_the_image():
    image = torch.linspace(-1, 1, 12).reshape(1, 1, 3, 4)
    seen = []

    def predict(noisy, step):
        seen.append(int(step[0]))
        return image.expand_as(noisy)

    drawn = FewSteps(4).sample(predict, lambda number: torch.full((2, 1, 3, 4), float(number)))
    assert seen == [3, 2, 1, 0]
    assert torch.equal(drawn, image.expand(2, 1, 3, 4))


def test_each_image_of_a_batch_has_a_step_of_its_own():
    process = FewSteps(4)
    clean, more = torch.rand(3, 1, 2, 2), torch.rand(3, 1, 2, 2)
    together, _ = process.posterior(clean, more, torch.tensor([0, 3, 1]))
    for index, step in enumerate([0, 3, 1]):
        alone, _ = process.posterior(clean[index : index + 1], more[index : index + 1], torch.tensor([step]))
        assert torch.equal(together[index], alone[0])
