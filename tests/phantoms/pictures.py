"""Pictures as of a microscope: noisy grey with round cells, their labels, PNG and TIFF files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def cells(shape=(48, 64), seed=0, *, dark=False) -> tuple[np.ndarray, np.ndarray]:
    """A picture (uint8) of rings with bright or dark walls, and its labels: 1 wall, 2 inside."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    labels = np.zeros(shape, np.uint8)
    for _ in range(5):
        row, column, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(5, 9)
        distance = np.hypot(rows - row, columns - column)
        labels[distance < radius] = 1
        labels[distance < radius - 2] = 2
    values = np.array([[90, 220, 130], [160, 30, 120]][dark])
    return np.clip(values[labels] + rng.normal(0, 8, shape), 0, 255).astype(np.uint8), labels


def save(path: Path, picture: np.ndarray, **options: Any) -> Path:
    """Write a picture with Pillow, as any program would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


def nnunet_folder(root: Path, count=3, ending=".png", **options: Any) -> Path:
    """A labelled dataset of nnU-Net with ``count`` cases of different sizes."""
    for number in range(count):
        picture, labels = cells((40 + 3 * number, 52 + number), number, **options)
        save(root / "imagesTr" / f"case{number}_0000{ending}", picture)
        save(root / "labelsTr" / f"case{number}{ending}", labels)
    (root / "dataset.json").write_text(
        '{"channel_names": {"0": "SEM"}, "labels": {"background": 0, "myelin": 1, "axon": 2}, "numTraining": '
        f'{count}, "file_ending": "{ending}"}}'
    )
    return root
