"""Trained folders of nnU-Net v2 in its own format, small and with random weights, as a stock trainer leaves them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthseg_core.networks.arrays import array_shapes
from synthseg_core.networks.config import NnUNetConfig

RESIDUAL = NnUNetConfig(
    out_channels=4,
    features=(4, 6, 6),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 1)),
    blocks=(1, 2, 1),
    decoder_convolutions=(1, 2),
)
RESIDUAL_HEAD = replace(RESIDUAL, out_channels=18)
HEAD_NAMES = tuple(f"label {number}" for number in range(18))
"""Of a folder like that of SIAM 0.3, whose names do not matter."""
PLAIN = NnUNetConfig(
    out_channels=3,
    features=(4, 6),
    kernels=((3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (2, 2, 2)),
    blocks=(2, 1),
    decoder_convolutions=(1,),
    encoder="plain",
)
_CLASSES = {"residual": "ResidualEncoderUNet", "plain": "PlainConvUNet"}


@dataclass(frozen=True)
class TrainedFolder:
    """What is written; the spacing is that of the network's axes, and so is the patch."""

    config: NnUNetConfig = RESIDUAL
    folds: tuple[str, ...] = ("0",)
    spacing: tuple[float, ...] = (1.1, 1.0, 0.9)
    patch: tuple[int, ...] = (8, 12, 16)
    transpose: tuple[int, ...] = (0, 1, 2)
    normalisation: str = "ZScoreNormalization"
    inside_only: bool = False
    separate: bool | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    architecture: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ("background", "inner", "outer", "other")
    seed: int = 3

    @property
    def names(self) -> list[str]:
        return list(self.labels[: self.config.out_channels])

    def write(self, folder: Path) -> Path:
        """Write plans, labels, and a checkpoint for each fold."""
        folder.mkdir(parents=True, exist_ok=True)
        labels = {name: value for value, name in enumerate(self.names)}
        dataset = {"channel_names": {"0": "MRI"}, "labels": labels, "file_ending": ".nii.gz", **self.dataset}
        (folder / "dataset.json").write_text(json.dumps(dataset))
        (folder / "plans.json").write_text(json.dumps(self.plans()))
        for number, fold in enumerate(self.folds):
            place = folder / f"fold_{fold}"
            place.mkdir(exist_ok=True)
            torch.save(self.checkpoint(number), place / "checkpoint_final.pth")
        return folder

    def plans(self) -> dict[str, Any]:
        c = self.config
        kwargs = {"order_z": 0, "force_separate_z": self.separate}
        blocks = "n_blocks_per_stage" if c.encoder == "residual" else "n_conv_per_stage"
        architecture = {
            "n_stages": len(c.features),
            "features_per_stage": c.features,
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": c.kernels,
            "strides": c.strides,
            blocks: c.blocks,
            "n_conv_per_stage_decoder": c.decoder_convolutions,
            "conv_bias": c.bias,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
            **self.architecture,
        }
        configuration = {
            "spacing": self.spacing,
            "patch_size": self.patch,
            "normalization_schemes": [self.normalisation],
            "use_mask_for_norm": [self.inside_only],
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, **kwargs},
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, **kwargs},
            "architecture": {
                "network_class_name": f"dynamic_network_architectures.architectures.unet.{_CLASSES[c.encoder]}",
                "arch_kwargs": architecture,
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        }
        properties = {"percentile_00_5": 5.0, "percentile_99_5": 150.0, "mean": 80.0, "std": 40.0, "max": 200.0}
        return {
            "dataset_name": "Dataset900_Phantom",
            "transpose_forward": self.transpose,
            "configurations": {"3d_fullres": configuration},
            "foreground_intensity_properties_per_channel": {"0": properties},
            **self.plan,
        }

    def checkpoint(self, number: int) -> dict[str, Any]:
        """A checkpoint as training leaves it: layers twice, the encoder once more, unused heads, a log of numbers."""
        weights = dict(self.arrays(number))
        for name in list(weights):
            part, _, kind = name.rpartition(".")
            if part.endswith((".conv", ".norm")):
                place = 0 if part.endswith(".conv") else 1
                weights[f"{part.rpartition('.')[0]}.all_modules.{place}.{kind}"] = weights[name]
        for name in [name for name in weights if name.startswith("encoder.")]:
            weights[f"decoder.{name}"] = weights[name]
        for step in range(len(self.config.features) - 2):
            weights[f"decoder.seg_layers.{step}.weight"] = torch.ones(self.config.out_channels, 6, 1, 1, 1)
        return {
            "network_weights": weights,
            "optimizer_state": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.01}]},
            "grad_scaler_state": None,
            "logging": {"mean_fg_dice": [np.float32(0.5), np.float64(0.75)], "ema_fg_dice": [np.float64(0.6)]},
            "_best_ema": np.float64(0.6),
            "current_epoch": 1000,
            "init_args": {"configuration": "3d_fullres", "fold": number, "device": torch.device("cpu")},
            "trainer_name": "nnUNetTrainerNoDA_4000epochs",
            "inference_allowed_mirroring_axes": (0, 1, 2),
        }

    def arrays(self, number: int) -> dict[str, torch.Tensor]:
        """Random arrays of a fold; the head is sharp, so that classes are decided."""
        generator = torch.Generator().manual_seed(self.seed + number)
        arrays = {}
        for name, shape in array_shapes(self.config).items():
            values = torch.randn(shape, generator=generator)
            if name.endswith("norm.weight"):
                arrays[name] = 1 + 0.2 * values
            elif len(shape) == 1:
                arrays[name] = 0.2 * values
            else:
                spread = 6.0 if "seg_layers" in name else 1.5
                arrays[name] = values * (spread / np.prod(shape[1:])) ** 0.5
        return arrays
