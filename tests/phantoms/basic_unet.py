"""A small BasicUNet with random weights, stored as SynthSeg's MONAI port stores its best one."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
import yaml

from synthseg_core.networks.basic_unet import BasicUNet
from synthseg_core.networks.config import BasicUNetConfig
from tests.phantoms.models import STRUCTURES

SMALL = BasicUNetConfig(out_channels=4, features=(4, 6, 8, 10, 12, 5))
WINDOW = 32


def random_net(config: BasicUNetConfig = SMALL, seed: int = 3) -> BasicUNet:
    """Return a network in evaluation mode, its weights large enough that classes differ."""
    generator = torch.Generator().manual_seed(seed)
    net = BasicUNet(config).eval()
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    with torch.inference_mode():
        image = torch.rand((1, config.in_channels, *[2**config.levels] * 3), generator=generator)
        mean = net(image).mean((0, 2, 3, 4))
    net.final_conv.bias.data -= mean  # no class is everywhere the most probable one
    return net


def monai_net(config: BasicUNetConfig = SMALL) -> torch.nn.Module:
    """Return MONAI's network of five levels, as the port makes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.networks.nets.basic_unet import BasicUNet as MonaiUNet

        return MonaiUNet(
            3,
            config.in_channels,
            config.out_channels,
            features=config.features,
            act=("LeakyReLU", {"negative_slope": config.slope}),
            norm=("instance", {"affine": True}),
            upsample="deconv",
        ).eval()


def write_port(folder: Path, net: BasicUNet, **changes: Any) -> Path:
    """Write card, label table and ``model_best.pth``, as several GPUs leave it; return the card."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "port.tsv").write_text(STRUCTURES)
    torch.save({f"module.{name}": value for name, value in net.state_dict().items()}, folder / "model_best.pth")
    config = net.config
    shape = {"out_channels": config.out_channels, "features": list(config.features), "slope": config.slope}
    content = {
        "name": "port",
        "title": "Small port",
        "family": "basic-unet",
        "task": "segmentation",
        "label_table": "port.tsv",
        "grid": {"voxel_size_mm": 1.0, "multiple_voxels": 16, "minimum_voxels": 48},
        "intensity": {"percentiles": [0, 100]},
        "networks": [{"role": "segmenter", "prefix": "unet", "architecture": "basic_unet", **shape}],
        "inference": {
            "flip_average": False,
            "posterior_sigma_voxels": 0,
            "clean_up": "none",
            "window_voxels": [WINDOW] * 3,
        },
        "weights": {"file": "model_best.pth"},
    }
    card = folder / "port.yaml"
    card.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
    return card
