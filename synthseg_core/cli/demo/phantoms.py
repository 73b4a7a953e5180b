"""Data that cost nothing: a tiny BIDS dataset of phantoms, and a tiny network with random weights.

The network has no anatomical knowledge whatever: it shows that files travel through the workflow, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.images.affines import Shape3, Size3
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.models.arrays import save_safetensors
from synthseg_core.models.registry import load_card
from synthseg_core.networks.arrays import Arrays, array_shapes
from synthseg_core.networks.config import NetworkSpec
from synthseg_core.system.atomic import write_json, write_text

MODEL = "tiny-random"
# Of the random weights, by model; the one with a cortex has companions for parcels and scores.
WEIGHTS_SEEDS = {MODEL: 20, "tiny-random-cortex": 21, "tiny-random-parc": 22, "tiny-random-qc": 23}


@dataclass(frozen=True)
class DemoScan:
    """One phantom of the demonstration.

    Parameters
    ----------
    path
        Relative to the dataset.
    shape
        Voxels.
    voxel_size
        Edge lengths, mm.
    tissues
        Intensities of skull, grey matter, white matter and ventricles.
    degrees
        Rotation of the head about the front-back axis.
    """

    path: str
    shape: Shape3
    voxel_size: Size3
    tissues: tuple[float, float, float, float]
    degrees: float = 0.0


_T1W, _FLAIR = (50.0, 90.0, 140.0, 25.0), (30.0, 120.0, 95.0, 15.0)
SCANS = (
    DemoScan("sub-01/anat/sub-01_T1w.nii.gz", (44, 52, 40), (2.0, 2.0, 2.0), _T1W),
    DemoScan("sub-01/anat/sub-01_FLAIR.nii.gz", (44, 52, 16), (2.0, 2.0, 5.0), _FLAIR, degrees=8.0),
    DemoScan("sub-02/anat/sub-02_T1w.nii.gz", (60, 70, 52), (1.5, 1.5, 1.6), _T1W, degrees=-5.0),
)


def phantom(scan: DemoScan, seed: int = 0) -> Volume:
    """Return a head of nested ellipsoids with two ventricles of unequal size, centred on the world's origin, noisy."""
    affine = _affine(scan)
    x, y, z = _head_coordinates(scan, affine)
    skull, grey, white, ventricle = scan.tissues
    radius = np.sqrt((x / 38) ** 2 + (y / 46) ** 2 + (z / 36) ** 2)
    image = np.select([radius < 0.6, radius < 0.82, radius < 1], [white, grey, skull], 0.0)
    for centre, length in ((-9.0, 11.0), (8.0, 8.0)):
        image[((x - centre) / 4) ** 2 + (y / length) ** 2 + ((z - 3) / 6) ** 2 < 1] = ventricle
    image += np.random.default_rng(seed).normal(0, 0.02 * white, scan.shape)
    return Volume(np.clip(image, 0, None), affine)


def write_dataset(folder: Path) -> list[Path]:
    """Write the phantoms as a BIDS dataset and return their paths; the same files every time."""
    write_json(
        folder / "dataset_description.json",
        {"Name": "Phantoms", "BIDSVersion": "1.11.1", "DatasetType": "raw", "Authors": ["synthseg-bids"]},
    )
    write_text(folder / "README.md", "Nested ellipsoids, made by synthseg_core.cli.demo.phantoms. Nobody's heads.\n")
    for seed, scan in enumerate(SCANS):
        write_volume(folder / scan.path, phantom(scan, seed), dtype=np.int16)
    return [folder / scan.path for scan in SCANS]


def random_state(spec: NetworkSpec, seed: int) -> Arrays:
    """Return random arrays for a network: convolutions that keep the spread of their input, neutral norms."""
    rng = np.random.default_rng(seed)
    return {name: _random_array(name, shape, rng) for name, shape in array_shapes(spec.config).items()}


def write_weights(path: Path, model: str = MODEL) -> None:
    """Write the weights of a tiny random model; the same bytes every time."""
    networks = [(spec, random_state(spec, WEIGHTS_SEEDS[model])) for spec in load_card(model).networks]
    save_safetensors(path, networks, half=True, metadata={"origin": "random numbers, no anatomical meaning"})


def _affine(scan: DemoScan) -> np.ndarray:
    angle = np.deg2rad(scan.degrees)
    affine = np.diag([*scan.voxel_size, 1.0])
    rotation = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    affine[:3, :3] = np.array(rotation) @ affine[:3, :3]
    affine[:3, 3] = -affine[:3, :3] @ (np.array(scan.shape) - 1) / 2
    return affine


def _head_coordinates(scan: DemoScan, affine: np.ndarray) -> np.ndarray:
    """Return the world position of every voxel, mm: (3, I, J, K)."""
    return np.einsum("ab,bijk->aijk", affine[:3, :3], np.indices(scan.shape)) + affine[:3, 3, None, None, None]


def _random_array(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name.endswith(("running_var", "norm.weight")):
        return np.ones(shape, dtype=np.float32)
    if len(shape) < 2:
        return np.zeros(shape, dtype=np.float32)
    # He initialisation; the head is sharper, so that classes are decided and not all alike.
    spread = np.sqrt((8.0 if name.startswith("head") else 2.0) / np.prod(shape[1:]))
    return rng.normal(0, spread, shape).astype(np.float32)
