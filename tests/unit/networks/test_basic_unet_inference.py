"""BasicUNet by slabs and in windows: the numbers of the module, and of MONAI's sliding windows."""

from __future__ import annotations

import warnings

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from synthseg_core.networks.basic_unet_inference import (
    BasicUNetRunner,
    WindowedPosteriors,
    window_starts,
    windowed_logits,
)
from synthseg_core.networks.config import BasicUNetConfig
from synthseg_core.networks.slabs import SLAB_BYTES
from tests.phantoms.basic_unet import random_net


def _image(shape, seed=1) -> torch.Tensor:
    return torch.rand((1, *shape), generator=torch.Generator().manual_seed(seed))


def _gathered(run, image) -> torch.Tensor:
    parts, spans = [], []

    def consume(start: int, stop: int, rows: torch.Tensor) -> None:
        spans.append((start, stop))
        parts.append(rows.clone())

    run(image, consume)
    assert [a for a, _ in spans] == [0, *(b for _, b in spans[:-1])]
    return torch.cat(parts, dim=1)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.integers(1, 3), min_size=2, max_size=4),
    st.integers(1, 4),
    st.tuples(*[st.integers(1, 3)] * 3),
    st.sampled_from([1, 20_000, SLAB_BYTES]),
)
def test_slabs_give_the_numbers_of_the_module(widths, last, size, slab_bytes):
    config = BasicUNetConfig(out_channels=3, features=(*(2 * width for width in widths), last))
    net = random_net(config)
    image = _image([4 * n * 2**config.halvings for n in size])
    with torch.inference_mode():
        expected = net(image[None])[0]
    found = _gathered(BasicUNetRunner(net, slab_bytes=slab_bytes).run, image)
    torch.testing.assert_close(found, expected, atol=2e-4 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("shape", [(48, 64, 80), (32, 48, 112), (16, 64, 32)])
def test_windows_are_those_of_monai(shape):
    """Edges that windows fill evenly and unevenly, and one that is shorter than a window."""
    net, image = random_net(), _image(shape)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        from monai.inferers.utils import sliding_window_inference

        window = [min(32, edge) for edge in shape]
        expected = sliding_window_inference(image[None], window, 1, net, overlap=0.5)[0]
    found = windowed_logits(BasicUNetRunner(net), image, (32, 32, 32))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("size", "window", "starts"),
    [(256, 160, [0, 80, 96]), (160, 160, [0]), (320, 160, [0, 80, 160]), (7, 3, [0, 1, 2, 3, 4]), (2, 1, [0, 1])],
)
def test_starts_of_windows(size, window, starts):
    assert window_starts(size, window) == starts


@pytest.mark.parametrize("window", [None, (32, 32, 32)])
def test_posteriors_come_in_rows(window):
    net, image = random_net(), _image((32, 48, 32))
    runner = BasicUNetRunner(net)
    windowed = WindowedPosteriors(runner, window)
    found = _gathered(windowed.run, image)
    logits = _gathered(runner.run, image) if window is None else windowed_logits(runner, image, window)
    torch.testing.assert_close(found, torch.softmax(logits, 0))
    assert len(found) == windowed.classes == 4
