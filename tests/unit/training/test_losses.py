"""Losses: the numbers of the reference, worked by hand; gradients; float32 inside autocast."""

from __future__ import annotations

import warnings

import pytest
import torch

from synthseg_core.training.losses import dice_loss, loss_called, one_hot, soft_dice, soft_dice_loss, weighted_l2_loss


def _column(rows: list[list[float]]) -> torch.Tensor:
    """Rows of voxels as (1, C, N, 1, 1)."""
    return torch.tensor(rows).t()[None, :, :, None, None]


CLASSES = torch.tensor([0, 0, 1, 1]).view(1, 4, 1, 1)


def test_soft_dice_two_classes():
    second = torch.tensor([0.1, 0.4, 0.8, 0.5])
    posteriors = _column(torch.stack([1 - second, second], 1).tolist())
    loss = 1 - soft_dice(posteriors, one_hot(CLASSES, 2))
    torch.testing.assert_close(loss, torch.tensor([[0.132948, 0.150327]]), atol=1e-5, rtol=0)
    assert soft_dice_loss(posteriors, one_hot(CLASSES, 2)).item() == pytest.approx(0.141637, abs=1e-5)
    assert dice_loss(posteriors.log(), CLASSES).item() == pytest.approx(0.141637, abs=1e-5)


@pytest.mark.parametrize(
    ("third", "expected"),
    [([0.1, 0.1, 0.0, 0.1], [0.071207, 0.068323, 0.999997]), ([0.0] * 4, [0.052000, 0.055136, 0.0])],
)
def test_soft_dice_of_an_absent_class_and_of_rows_that_do_not_sum_to_one(third, expected):
    rows = [[0.8, 0.1], [0.7, 0.2], [0.1, 0.9], [0.3, 0.6]]
    posteriors = _column([[*row, last] for row, last in zip(rows, third, strict=True)])
    loss = 1 - soft_dice(posteriors, one_hot(CLASSES, 3))
    torch.testing.assert_close(loss, torch.tensor([expected]), atol=1e-5, rtol=0)


def test_weighted_l2():
    logits = _column([[2.0, -1.0], [0.0, 0.0], [-3.0, 4.0], [1.0, 1.0]])
    assert weighted_l2_loss(logits, CLASSES).item() == pytest.approx(14.25, abs=1e-5)
    assert weighted_l2_loss(torch.zeros_like(logits), CLASSES).item() == pytest.approx(25, abs=1e-5)
    matching = 5 * (2 * one_hot(CLASSES, 2) - 1)
    assert weighted_l2_loss(matching, CLASSES).item() == 0


def test_weighted_l2_of_background_alone_is_finite():
    logits = torch.zeros(1, 2, 3, 4, 5, requires_grad=True)
    loss = weighted_l2_loss(logits, torch.zeros(1, 3, 4, 5, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == pytest.approx(25)
    assert torch.isfinite(logits.grad).all()


def test_batch_is_the_mean_over_samples_and_equals_the_one_hot_form():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 4, 5, 6, 7, generator=generator)
    index = torch.randint(0, 3, (2, 5, 6, 7), generator=generator, dtype=torch.uint8)  # class 3 absent
    both = dice_loss(logits, index).item()
    single = [dice_loss(logits[n : n + 1], index[n : n + 1]).item() for n in range(2)]
    assert both == pytest.approx(sum(single) / 2, abs=1e-6)
    assert both == pytest.approx(soft_dice_loss(logits.softmax(1), one_hot(index, 4)).item(), abs=1e-6)


def test_gradients_equal_those_of_the_one_hot_form():
    generator = torch.Generator().manual_seed(4)
    first = torch.randn(1, 4, 5, 6, 7, generator=generator).requires_grad_()
    second = first.detach().clone().requires_grad_()
    index = torch.randint(0, 3, (1, 5, 6, 7), generator=generator)
    dice_loss(first, index).backward()
    soft_dice_loss(second.softmax(1), one_hot(index, 4)).backward()
    assert torch.isfinite(first.grad).all()
    torch.testing.assert_close(first.grad, second.grad, atol=1e-7, rtol=1e-4)


def test_cross_entropy_is_added_with_its_weight():
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(1, 3, 4, 5, 6, generator=generator)
    index = torch.randint(0, 3, (1, 4, 5, 6), generator=generator)
    added = loss_called("dice", 0.5)(logits, index) - loss_called("dice")(logits, index)
    assert added.item() == pytest.approx(0.5 * torch.nn.functional.cross_entropy(logits, index).item(), abs=1e-6)


@pytest.mark.parametrize("name", ["weighted_l2", "dice"])
def test_float32_inside_autocast(name):
    generator = torch.Generator().manual_seed(6)
    logits = torch.randn(1, 3, 8, 9, 10, generator=generator).bfloat16()
    index = torch.randint(0, 3, (1, 8, 9, 10), generator=generator)
    plain = loss_called(name, 0.5)(logits.float(), index)
    with torch.autocast("cpu", torch.bfloat16):
        cast = loss_called(name, 0.5)(logits, index)
    assert cast.dtype == torch.float32
    assert cast.item() == plain.item()


def test_sums_of_millions_of_voxels_keep_their_digits():
    """Added one by one in float32, the mass of a large class is wrong by percents."""
    shape = (1, 200, 200, 200)
    logits = torch.zeros(1, 2, *shape[1:])
    logits[:, 0] = 3.5
    p = torch.softmax(torch.tensor([3.5, 0.0], dtype=torch.float64), 0)[0].item()
    loss = dice_loss(logits, torch.zeros(shape, dtype=torch.uint8)).item()
    assert loss == pytest.approx((1 - 2 * p / (1 + p**2) + 1) / 2, abs=1e-5)


@pytest.mark.parametrize("smoothing", [1e-5, 0.5])
def test_smoothing_is_that_of_monai(smoothing):
    """Soft Dice of softmax, background included, squares in the denominator; class 3 is absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.losses.dice import DiceLoss

        theirs = DiceLoss(softmax=True, to_onehot_y=True, squared_pred=True, smooth_nr=smoothing, smooth_dr=smoothing)
        generator = torch.Generator().manual_seed(8)
        logits = torch.randn(2, 4, 5, 6, 7, generator=generator)
        index = torch.randint(0, 3, (2, 5, 6, 7), generator=generator)
        expected = theirs(logits, index[:, None]).item()
    assert loss_called("dice", smoothing=smoothing)(logits, index).item() == pytest.approx(expected, abs=1e-6)
