"""Windows, their weights, and sums in half precision, against values by hand and arrays of stock nnU-Net."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from synthseg_core.errors import InputError
from synthseg_core.networks.nnunet import NnUNet
from synthseg_core.networks.nnunet_inference import NnUNetRunner
from synthseg_core.networks.window_inference import mean_logits, window_logits, window_starts, window_weights
from tests.phantoms.nnunet import RESIDUAL, TrainedFolder


class _Constant:
    """Stands for a network that answers two numbers everywhere."""

    def __init__(self, *logits: float) -> None:
        self.net = type("net", (), {"config": type("config", (), {"out_channels": len(logits)})})
        self._logits = torch.tensor(logits)

    def run(self, image, consume) -> None:
        shape = tuple(image.shape[1:])
        for start in range(shape[0]):
            consume(start, start + 1, self._logits[:, None, None, None].expand(-1, 1, *shape[1:]))


def _runner(number: int) -> NnUNetRunner:
    net = NnUNet(RESIDUAL)
    net.load_state_dict(TrainedFolder().arrays(number))
    return NnUNetRunner(net)


@pytest.mark.parametrize(
    ("size", "patch", "starts"),
    [
        (32, 32, [0]),
        (33, 32, [0, 1]),
        (48, 32, [0, 16]),
        (49, 32, [0, 8, 17]),
        (51, 32, [0, 10, 19]),
        (69, 48, [0, 21]),
    ],
)
def test_starts_are_spread_evenly_and_rounded(size, patch, starts):
    """8.5 becomes 8, 9.5 becomes 10: halves go to the even number."""
    assert window_starts(size, patch) == starts


@pytest.mark.golden
def test_starts_and_weights_of_stock_nnunet(reference):
    folder = reference / "siam" / "intermediate"
    models = {model["name"]: model for model in json.loads((reference / "siam" / "models.json").read_text())}
    stored = np.load(folder / "network.npz")
    for name, model in models.items():
        weights, axes = window_weights(model["patch"], half=True), stored[f"{name}_weight_map"]
        half = tuple(slice(0, n // 2 + 1) for n in model["patch"])
        np.testing.assert_array_equal(weights[half], axes)
    for case in json.loads((folder / "index.json").read_text()):
        patch = models[case["model"].partition("/")[2]]["patch"]
        assert list(map(window_starts, case["padded_shape"], patch)) == case["tile_starts"]


def test_weights_are_nowhere_zero():
    half, single = (window_weights((24, 16, 20), half=flag) for flag in (True, False))
    assert half.dtype == np.float16
    assert half.max() == 10
    assert half.min() == np.float16(6e-8)
    assert 0 < single.min() < 1e-8
    assert np.unravel_index(single.argmax(), single.shape) == (12, 8, 10)


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("shape", [(8, 12, 16), (5, 12, 30), (19, 7, 16)])
def test_a_constant_answer_stays_constant(half, shape):
    """Windows overlap, small images are padded, and the padding is taken away."""
    logits = window_logits(_Constant(0.5, -2.0), torch.zeros((1, *shape)), (8, 12, 16), half=half)  # type: ignore[arg-type]
    assert logits.shape == (2, *shape)
    assert logits.dtype == (torch.float16 if half else torch.float32)
    inside = window_weights((8, 12, 16), half=half) > 1e-3 if shape == (8, 12, 16) else np.ones(shape, bool)
    tolerance = 5e-3 if half and shape == (8, 12, 16) else 0.6 if half else 1e-5
    np.testing.assert_allclose(logits[0].numpy()[inside], 0.5, atol=tolerance)


def test_one_window_is_the_network_itself():
    image = torch.randn((1, 8, 12, 16), generator=torch.Generator().manual_seed(0))
    runner = _runner(0)
    with torch.inference_mode():
        expected = runner.net(image[None])[0]
    np.testing.assert_allclose(window_logits(runner, image, (8, 12, 16), half=False), expected, atol=1e-4)


def test_the_mean_of_folds():
    image = torch.randn((1, 9, 13, 20), generator=torch.Generator().manual_seed(0))
    singles = [window_logits(_runner(number), image, (8, 12, 16), half=False) for number in range(3)]
    found = mean_logits(map(_runner, range(3)), image, (8, 12, 16), half=False)
    np.testing.assert_allclose(found, torch.stack(singles).mean(0), atol=1e-5)


def test_half_precision_is_summed_as_it_is_stored():
    """2048 and 1 are 2048 in half precision, and half of it 1024; float32 keeps 1024.5."""
    image = torch.zeros((1, 8, 12, 16))
    runners = [_Constant(2048.0, 0.0), _Constant(1.0, 0.0)]
    middle = (0, 4, 6, 8)
    assert mean_logits(runners, image, (8, 12, 16), half=True)[middle] == 1024  # type: ignore[arg-type]
    assert mean_logits(runners, image, (8, 12, 16), half=False)[middle] == 1024.5  # type: ignore[arg-type]


def test_logits_beyond_half_precision():
    with pytest.raises(InputError, match="infinite values; .* use --mode float32"):
        window_logits(_Constant(1e5, 0.0), torch.zeros((1, 8, 12, 16)), (8, 12, 16), half=True)  # type: ignore[arg-type]
