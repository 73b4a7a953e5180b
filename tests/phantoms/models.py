"""Tiny models with random weights, written as card, label table and safetensors into a folder, as a user would.

The label values are not contiguous and not in ascending order, so that channels and labels cannot be mixed up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from synthseg_core.models.arrays import save_safetensors
from synthseg_core.networks.arrays import array_shapes
from synthseg_core.networks.config import NetworkConfig, NetworkSpec, RegressorConfig, UNetConfig

# Channel: 0 background, 1 right cortex (42), 2 left cortex (3), 3 brainstem (16).
STRUCTURES = """\
label	name	side	counterpart	topology_class	qc_group
0	background	neutral	0	0	0
42	right cortex	right	3	1	1
3	left cortex	left	42	2	1
16	brainstem	neutral	16	3	2
"""
STRUCTURE_LABELS = (0, 42, 3, 16)
FLIPPED = {0: 0, 3: 42, 42: 3, 16: 16}
"""What each label becomes when the head is mirrored."""

PARCELS = """\
label	name	side	counterpart
0	background	neutral	0
1001	left front	left	2001
1005	left back	left	2005
2001	right front	right	1001
2005	right back	right	1005
"""
GROUPS = """\
label	name	side	counterpart
0	background	neutral	0
1	cortex	neutral	1
2	stem	neutral	2
"""
SEGMENTER = UNetConfig(in_channels=1, out_channels=4, features=4, levels=3)


@dataclass(frozen=True)
class TinyModel:
    """What a card says; the defaults make a 1 mm model with flip averaging, blur and topology clean-up."""

    name: str = "tiny"
    task: str = "segmentation"
    table: str = STRUCTURES
    networks: tuple[NetworkSpec, ...] = (NetworkSpec("segmenter", "unet", SEGMENTER),)
    grid: dict[str, Any] = field(
        default_factory=lambda: {"voxel_size_mm": 1.0, "multiple_voxels": 8, "minimum_voxels": 16}
    )
    inference: dict[str, Any] = field(default_factory=dict)
    companions: dict[str, str] = field(default_factory=dict)
    plausible_total_ml: tuple[float, float] | None = None
    seed: int = 4

    def write(self, folder: Path) -> Path:
        """Write card, label table and weights; return the card."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.tsv").write_text(self.table)
        arrays = [(spec, random_arrays(spec, self.seed + number)) for number, spec in enumerate(self.networks)]
        save_safetensors(folder / f"{self.name}.safetensors", arrays)
        card = folder / f"{self.name}.yaml"
        card.write_text(yaml.safe_dump(self._card(), sort_keys=False))
        return card

    def _card(self) -> dict[str, Any]:
        content: dict[str, Any] = {
            "name": self.name,
            "title": f"Tiny random {self.task}",
            "family": "synthseg",
            "task": self.task,
            "label_table": f"{self.name}.tsv",
            "grid": dict(self.grid),
            "networks": [_network(spec) for spec in self.networks],
            "weights": {"file": f"{self.name}.safetensors", "licence": "Apache-2.0"},
            "citation": ["Nobody, Random numbers, 2000"],
        }
        if self.inference:
            content["inference"] = dict(self.inference)
        if self.companions:
            content["companions"] = dict(self.companions)
        if self.plausible_total_ml is not None:
            content["plausible_total_ml"] = list(self.plausible_total_ml)
        return content


TINY = TinyModel()
COARSE = replace(TINY, name="coarse", grid={"voxel_size_mm": 2.0, "multiple_voxels": 8, "minimum_voxels": 8})
FINER = replace(COARSE, name="finer", grid={**COARSE.grid, "answer_voxel_size_mm": 1.0})
"""Works at 2 mm, answers at 1 mm."""
ONE_SIDED = replace(TINY, name="one-sided", inference={"flip_average": False})
ROBUST = TinyModel(
    name="robust",
    networks=(
        NetworkSpec("group_segmenter", "unet", replace(SEGMENTER, out_channels=3)),
        NetworkSpec("denoiser", "l2l", UNetConfig(3, 3, features=2, levels=3, kernel_size=5, skips=(0,))),
        NetworkSpec("segmenter", "unet2", replace(SEGMENTER, in_channels=4)),
    ),
    inference={"flip_average": False, "posterior_sigma_voxels": 0.0, "clean_up": "threshold"},
    seed=8,
)
PARCELLATION = TinyModel(
    name="parcels",
    task="parcellation",
    table=PARCELS,
    networks=(NetworkSpec("parcellator", "unet_parc", replace(SEGMENTER, in_channels=3, out_channels=5)),),
    inference={"flip_average": False, "clean_up": "none", "total_intracranial": False},
    seed=7,
)
QUALITY = TinyModel(
    name="scores",
    task="quality",
    table=GROUPS,
    networks=(NetworkSpec("regressor", "qc", RegressorConfig(3, 3, features=2, levels=2, kernel_size=3)),),
    seed=9,
)
WHOLE = replace(TINY, name="whole", companions={"parcellation": "parcels.yaml", "quality": "scores.yaml"})


def write_family(folder: Path, main: TinyModel = WHOLE) -> Path:
    """Write a segmentation model with its companions for parcels and scores; return the card of the former."""
    for companion in (PARCELLATION, QUALITY):
        companion.write(folder)
    return main.write(folder)


def random_arrays(spec: NetworkSpec, seed: int) -> dict[str, np.ndarray]:
    """Random arrays in which nothing is neutral: biases, scales and statistics differ from channel to channel."""
    rng = np.random.default_rng(seed)
    return {name: _random(name, shape, rng) for name, shape in array_shapes(spec.config).items()}


def _random(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if re.search(r"running_var|norm\d?\.weight", name):
        return rng.uniform(0.6, 1.4, shape).astype(np.float32)
    if len(shape) < 2:
        return rng.normal(0, 0.2, shape).astype(np.float32)
    # The head is sharper, so that classes are decided and not all alike.
    spread = np.sqrt((10.0 if name.startswith("head") else 2.0) / np.prod(shape[1:]))
    return rng.normal(0, spread, shape).astype(np.float32)


def _network(spec: NetworkSpec) -> dict[str, Any]:
    config: NetworkConfig = spec.config
    architecture = "regressor" if isinstance(config, RegressorConfig) else "unet"
    shape = {key: value for key, value in vars(config).items() if value is not None}
    shape = {key: list(value) if isinstance(value, tuple) else value for key, value in shape.items()}
    return {"role": spec.role, "architecture": architecture, "prefix": spec.prefix, **shape}
