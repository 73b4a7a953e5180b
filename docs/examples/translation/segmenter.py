"""A supervised 2D segmenter of four tissues: it knows the contrast that it was trained on, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from contrasts import TISSUES
from monai.networks.nets.unet import UNet
from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.images.reading import read_scan, read_stored
from synthseg_core.translation.contrast import head_mask, robust_window
from synthseg_core.translation.slices import plan_slices

CLASSES = len(TISSUES) + 1
_BATCH, _RATE = 8, 3e-3
# Slices with less tissue than this teach little.
_LEAST_TISSUE = 0.1


@dataclass(frozen=True)
class Slices:
    """Axial slices of a scan.

    Parameters
    ----------
    images : (N, height, width)
        -1 to 1.
    tissues : (N, height, width)
        Classes from 0.
    """

    images: np.ndarray
    tissues: np.ndarray


def read_slices(scan: Path, labels: Path) -> Slices:
    """Cut a scan and its tissues; intensities as the translators have them."""
    volume = read_scan(scan).volume
    slicing = plan_slices(volume, "axial", volume.voxel_size[0])
    images = slicing.slices(volume.data)
    window = robust_window(images[head_mask(images)])
    return Slices(window.normalised(images), np.rint(slicing.slices(read_stored(labels).data)).astype(np.int64))


def train(scans: Sequence[Slices], steps: int, seed: int = 0) -> nn.Module:
    """Train on slices with tissue, by cross-entropy and Dice; mirrored ones as well.

    Parameters
    ----------
    scans
        Slices with their tissues.
    steps
        Optimiser steps.
    seed
        Of weights and draws.
    """
    torch.manual_seed(seed)
    net = UNet(2, 1, CLASSES, channels=(16, 32, 64, 64), strides=(2, 2, 2), num_res_units=1, norm="INSTANCE")
    useful = [(one.tissues > 0).mean((1, 2)) > _LEAST_TISSUE for one in scans]
    images = torch.from_numpy(np.concatenate([one.images[keep] for one, keep in zip(scans, useful, strict=True)]))
    tissues = torch.from_numpy(np.concatenate([one.tissues[keep] for one, keep in zip(scans, useful, strict=True)]))
    optimiser = torch.optim.AdamW(net.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(images), (_BATCH,))
        batch, truth = images[chosen], tissues[chosen]
        if torch.rand(()) < 0.5:
            batch, truth = batch.flip(2), truth.flip(2)
        value = loss(net(batch[:, None]), truth)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


def loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Return cross-entropy plus one minus soft Dice, mean over tissues."""
    shares = logits.softmax(1)
    wanted = functional.one_hot(truth, CLASSES).movedim(-1, 1).float()
    overlap, total = (shares * wanted).sum((0, 2, 3)), (shares + wanted).sum((0, 2, 3))
    return functional.cross_entropy(logits, truth) + (1 - (2 * overlap[1:] + 1) / (total[1:] + 1)).mean()


@torch.inference_mode()
def segment(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """Return the classes of slices (N, height, width)."""
    return torch.cat([net(part[:, None]).argmax(1) for part in torch.from_numpy(images).split(_BATCH)]).numpy()


def dice(net: nn.Module, scans: Sequence[Slices]) -> np.ndarray:
    """Return the Dice of each tissue, mean over scans, (4,)."""
    rows = []
    for scan in scans:
        found = segment(net, scan.images)
        overlap = [((found == k) & (scan.tissues == k)).sum() for k in range(1, CLASSES)]
        total = [(found == k).sum() + (scan.tissues == k).sum() for k in range(1, CLASSES)]
        rows.append(2 * np.array(overlap) / np.maximum(total, 1))
    return np.mean(rows, axis=0)
