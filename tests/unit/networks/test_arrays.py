"""Names and shapes of a network's arrays against its torch module and against shapes worked by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.errors import WeightsError
from synthseg_core.models.registry import load_card
from synthseg_core.networks.arrays import array_shapes, parameter_count, require_complete
from synthseg_core.networks.config import NetworkConfig, NetworkSpec, RegressorConfig, UNetConfig

UNETS = st.builds(
    UNetConfig,
    in_channels=st.integers(1, 3),
    out_channels=st.integers(1, 4),
    features=st.integers(1, 3),
    levels=st.integers(2, 4),
    kernel_size=st.sampled_from([1, 3, 5]),
    skips=st.one_of(st.none(), st.sets(st.integers(0, 2)).map(lambda steps: tuple(sorted(steps)))),
)
GROUP_UNETS = UNETS.flatmap(
    lambda config: st.builds(
        replace,
        st.just(config),
        norm=st.just("group"),
        residual=st.booleans(),
        widths=st.tuples(*[st.integers(1, 4)] * (config.levels - 1)).map(lambda widths: (config.features, *widths)),
    )
)
REGRESSORS = st.builds(
    RegressorConfig,
    in_channels=st.integers(1, 3),
    out_channels=st.integers(1, 4),
    features=st.integers(1, 3),
    levels=st.integers(1, 4),
    kernel_size=st.sampled_from([2, 3, 5]),
)


def of_module(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the real module, without its counters of batches."""
    import torch

    from synthseg_core.networks.regressor import Regressor
    from synthseg_core.networks.unet import UNet

    with torch.device("meta"):
        net = Regressor(config) if isinstance(config, RegressorConfig) else UNet(config)
    return {name: tuple(array.shape) for name, array in net.state_dict().items() if array.ndim}


FOLDED = UNetConfig(2, 5, features=4, levels=3, norm="group", activation="leaky_relu", residual=True, folding=2)


@pytest.mark.parametrize(
    "config",
    [UNetConfig(), UNetConfig(1, 5), UNetConfig(2, 3, 4, 3, 5, (1,)), UNetConfig(skips=()), FOLDED, RegressorConfig()],
    ids=repr,
)
def test_arrays_are_those_of_the_module(config):
    assert array_shapes(config) == of_module(config)


@settings(deadline=None, max_examples=30)
@given(config=st.one_of(UNETS, GROUP_UNETS, REGRESSORS))
def test_arrays_of_any_network_are_those_of_the_module(config):
    assert array_shapes(config) == of_module(config)


def test_unet_worked_by_hand():
    assert array_shapes(UNetConfig(in_channels=2, out_channels=3, features=2, levels=2)) == {
        **_convolution("down.0.conv0", 2, 2),
        **_convolution("down.0.conv1", 2, 2),
        **_norm("down.0.norm", 2),
        **_convolution("down.1.conv0", 2, 4),
        **_convolution("down.1.conv1", 4, 4),
        **_norm("down.1.norm", 4),
        **_convolution("up.0.conv0", 2 + 4, 2),
        **_convolution("up.0.conv1", 2, 2),
        **_norm("up.0.norm", 2),
        **_convolution("head", 2, 3, edge=1),
    }


def test_a_decoder_step_without_skip_takes_only_the_level_below():
    shapes = array_shapes(UNetConfig(3, 3, features=2, levels=3, kernel_size=5, skips=(0,)))
    assert shapes["up.0.conv0.weight"] == (4, 4 + 8, 5, 5, 5)
    assert shapes["up.1.conv0.weight"] == (2, 4, 5, 5, 5)


def test_regressor_worked_by_hand():
    assert array_shapes(RegressorConfig(in_channels=2, out_channels=3, features=2, levels=2, kernel_size=3)) == {
        **_convolution("down.0.conv0", 2, 2),
        **_convolution("down.0.shortcut", 2, 2),
        **_convolution("down.0.conv1", 2, 2),
        **_norm("down.0.norm", 2),
        **_convolution("down.1.conv0", 2, 4),
        **_convolution("down.1.shortcut", 2, 4),
        **_convolution("down.1.conv1", 4, 4),
        **_norm("down.1.norm", 4),
        **_convolution("final.0", 4, 3),
        **_convolution("final.1", 3, 3),
    }


def _convolution(name: str, inputs: int, outputs: int, edge: int = 3) -> dict:
    return {f"{name}.weight": (outputs, inputs, edge, edge, edge), f"{name}.bias": (outputs,)}


def _norm(name: str, channels: int) -> dict:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


@pytest.mark.parametrize(
    ("model", "count"),
    [("synthseg-1.0", 13_242_824), ("synthseg-2.0", 13_242_849), ("synthseg-robust-2.0", 53_574_739)],
)
def test_published_networks_have_the_published_number_of_parameters(model, count):
    assert sum(parameter_count(spec.config) for spec in load_card(model).networks) == count


def test_missing_and_misshapen_arrays_are_refused():
    spec = NetworkSpec("segmenter", "unet", UNetConfig(features=1, levels=2))
    arrays = {name: np.zeros(shape, np.float32) for name, shape in array_shapes(spec.config).items()}
    require_complete("here", spec, {**arrays, "beyond": np.zeros(3)})
    del arrays["head.bias"]
    arrays["up.0.norm.bias"] = np.zeros(2, np.float32)
    found = re.escape("network unet with 2 arrays missing or of another shape, first up.0.norm.bias")
    with pytest.raises(WeightsError, match=f"here: found {found}"):
        require_complete("here", spec, arrays)


def test_arrays_do_not_import_torch():
    code = "import sys, synthseg_core.networks.arrays; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
