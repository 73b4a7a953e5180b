"""First weights of a network: Keras conventions, drawn from a seed."""

from __future__ import annotations

import torch
from torch import nn

from synthseg_core.networks.unet import UNet


def initialise(net: UNet, generator: torch.Generator) -> UNet:
    """Draw Glorot-uniform kernels and set biases to zero, as the reference does; norms start as the identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return net
