"""Networks of the package's trainings, at their published widths, as files that the original program would take."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from synthseg_core.models.arrays import load_state
from synthseg_core.models.keras_file import write_keras
from synthseg_core.networks.arrays import array_shapes
from synthseg_core.networks.config import NetworkSpec
from synthseg_core.training.experiment import Experiment

# Published file -> preset, name in the file, input and output channels of each of its networks.
FILES = {
    "synthseg_2.0.h5": [("official", "unet", 1, 33)],
    "synthseg_robust_2.0.h5": [
        ("robust_s1", "unet", 1, 5),
        ("denoiser", "l2l", 5, 5),
        ("robust_s2", "unet2", 6, 33),
    ],
    "synthseg_parc_2.0.h5": [("parcellation", "unet_parc", 3, 69)],
    "synthseg_qc_2.0.h5": [("quality", "qc", 9, 9)],
}


@pytest.mark.golden
@pytest.mark.parametrize("name", FILES)
def test_trained_networks_have_the_names_and_shapes_of_the_published_files(reference, tmp_path, name):
    manifest = json.loads((reference / "weight_manifest.json").read_text())["files"][name]
    networks = [_network(*facts) for facts in FILES[name]]
    path = tmp_path / name
    write_keras(path, networks)
    published = {one["name"]: one["shape"] for layer in manifest["layers"] for one in layer["weights"]}
    with h5py.File(path) as file:
        layers = map(_text, file.attrs["layer_names"])
        written = {
            name: list(file[layer][name].shape)
            for layer in layers
            for name in map(_text, file[layer].attrs["weight_names"])
        }
    assert written == published
    for spec, arrays in networks:
        back = load_state(path, spec)
        assert all(np.array_equal(back[key], value) for key, value in arrays.items())


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _network(preset: str, prefix: str, inputs: int, outputs: int):
    config = replace(Experiment.preset(preset).training.network, in_channels=inputs, out_channels=outputs)
    random = np.random.default_rng(0)
    arrays = {key: random.standard_normal(shape, np.float32) for key, shape in array_shapes(config).items()}
    return NetworkSpec("network", prefix, config), arrays
