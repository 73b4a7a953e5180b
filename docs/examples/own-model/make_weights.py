"""Write the weights of the example beside its card; in earnest the network comes from training."""

from pathlib import Path

import torch

from synthseg_core import load_card
from synthseg_core.models.arrays import save_safetensors
from synthseg_core.networks.unet import UNet

card = load_card(Path(__file__).with_name("four-classes.yaml"))
(spec,) = card.networks

torch.manual_seed(2)
network = UNet(spec.config)
for layer in network.modules():
    # Random, but with features that survive to the last layer; all four classes then occur.
    if isinstance(layer, torch.nn.Conv3d) and layer is not network.head:
        torch.nn.init.kaiming_normal_(layer.weight)

arrays = {name: array.numpy() for name, array in network.state_dict().items()}
save_safetensors(card.source.with_name(card.weights.file), [(spec, arrays)])
