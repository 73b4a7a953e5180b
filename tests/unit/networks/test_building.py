"""Networks from their shapes, and the names of architectures."""

from __future__ import annotations

import pytest

from synthseg_core.networks.arrays import array_shapes
from synthseg_core.networks.building import network_of
from synthseg_core.networks.config import ARCHITECTURES, RegressorConfig, UNetConfig, architecture_of

SHAPES = (UNetConfig(features=2, levels=3), RegressorConfig(features=2, levels=3))


@pytest.mark.parametrize("config", SHAPES)
def test_a_network_has_the_arrays_of_its_shape(config):
    net = network_of(config)
    assert net.config == config
    arrays = {name: tuple(value.shape) for name, value in net.state_dict().items() if value.ndim}
    assert arrays == array_shapes(config)


@pytest.mark.parametrize("config", SHAPES)
def test_an_architecture_is_known_by_its_name(config):
    assert ARCHITECTURES[architecture_of(config)] is type(config)
