"""From the shape of a network to the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from synthseg_core.networks.basic_unet import BasicUNet
from synthseg_core.networks.config import BasicUNetConfig, NetworkConfig, NnUNetConfig, RegressorConfig, UNetConfig
from synthseg_core.networks.nnunet import NnUNet
from synthseg_core.networks.regressor import Regressor
from synthseg_core.networks.unet import UNet

Network = UNet | Regressor | NnUNet | BasicUNet

_NETWORKS: Mapping[type, Callable[[Any], Network]] = {
    UNetConfig: UNet,
    RegressorConfig: Regressor,
    NnUNetConfig: NnUNet,
    BasicUNetConfig: BasicUNet,
}


def network_of(config: NetworkConfig) -> Network:
    """Return a network of this shape, with the weights that torch draws for it."""
    return _NETWORKS[type(config)](config)
