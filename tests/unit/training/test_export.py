"""A trained network as a model folder, and what the folder does when it is used."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from synthseg_core.cli.main import main
from synthseg_core.errors import WeightsError
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.arrays import load_state, read_metadata
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.models.store import Condition, verify
from synthseg_core.networks.config import UNetConfig
from synthseg_core.networks.unet import UNet
from synthseg_core.training.export import ModelPlan, export_model, trained_card
from tests.phantoms.models import STRUCTURES
from tests.phantoms.scans import phantom, write_nifti

CONFIG = UNetConfig(out_channels=4, features=4, levels=3)


@pytest.fixture
def table(tmp_path) -> LabelTable:
    path = tmp_path / "own.tsv"
    path.write_text(STRUCTURES)
    return LabelTable.read(path)


def _state(config=CONFIG, seed=0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    net = UNet(config)
    for block in [*net.down, *net.up]:
        torch.nn.init.normal_(block.norm.running_mean, 0, 0.1)
        torch.nn.init.uniform_(block.norm.running_var, 0.5, 2)
    return net.state_dict()


def _card(folder, table, **values):
    training = values.pop("training", None)
    return trained_card(folder, "own", ModelPlan(table, **values), CONFIG, training)


def test_a_scan_is_segmented_with_the_folder_as_it_is(table, tmp_path):
    card = export_model(_card(tmp_path / "model", table), _state())
    scan, out = write_nifti(tmp_path / "scan.nii.gz", phantom((1.5, 1.0, 2.5))), tmp_path / "dseg.nii.gz"
    assert main(["segment", str(scan), "--model", str(card), "--dseg", str(out), "--threads", "1"]) == 0
    assert nib.load(out).shape == nib.load(scan).shape
    assert verify(load_card(card)).condition is Condition.PUBLISHED


@pytest.mark.parametrize(("half", "tolerance"), [(True, 1e-3), (False, 0)])
def test_arrays_come_back_as_float32(table, tmp_path, half, tolerance):
    state = _state()
    card = load_card(export_model(_card(tmp_path / "model", table), state, half=half))
    arrays = load_state(card.source.parent / card.weights.file, card.networks[0])
    assert {name for name in state if "num_batches" not in name} == set(arrays)
    for name, array in arrays.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, state[name].numpy(), rtol=tolerance, atol=1e-6 if half else 0)
    (runner,) = load_models(card).segmentation.runners
    assert next(runner.net.parameters()).dtype == torch.float32


def test_the_model_is_written_as_keras_and_read_back(table, tmp_path):
    card = export_model(_card(tmp_path / "model", table), _state())
    assert main(["models", "convert", str(card), str(tmp_path / "keras.h5")]) == 0
    spec = load_card(card).networks[0]
    arrays = load_state(card.with_name("weights.safetensors"), spec)
    again = load_state(tmp_path / "keras.h5", spec)
    assert list(again) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)


def test_same_state_same_bytes(table, tmp_path):
    cards = [export_model(_card(tmp_path / name, table, training={"steps": 3}), _state()) for name in ("a", "b")]
    first, second = ({p.name: p.read_bytes() for p in card.parent.iterdir()} for card in cards)
    assert sorted(first) == ["card.yaml", "labels.tsv", "weights.safetensors"]
    assert first == second


def test_facts_of_the_training_are_kept(table, tmp_path):
    facts = {"data": ["map_01", "map_02"], "steps": 20500, "hours": 1.5, "recipe": {"preset": "official"}}
    card = load_card(export_model(_card(tmp_path / "model", table, training=facts), _state()))
    assert {key: card.training[key] for key in facts} == facts
    metadata = read_metadata(card.source.parent / card.weights.file)
    assert metadata == {"model": "own", "version": card.training["version"]}


@pytest.mark.parametrize(
    ("voxel_size_mm", "answer_mm", "minimum"), [(1.0, 1.0, 128), (2.0, 1.0, 64), (1.5, 1.0, 88), (0.8, 0.8, 160)]
)
def test_grid_of_a_trained_network(table, tmp_path, voxel_size_mm, answer_mm, minimum):
    grid = _card(tmp_path, table, voxel_size_mm=voxel_size_mm).grid
    assert (grid.voxel_size_mm, grid.answer_mm, grid.minimum_voxels) == (voxel_size_mm, answer_mm, minimum)
    assert grid.multiple_voxels == 4


def test_labels_without_topology_are_not_cleaned(table, tmp_path):
    assert _card(tmp_path, table).inference.clean_up == "topology"
    assert _card(tmp_path, replace(table, topology_classes=())).inference.clean_up == "none"


def test_states_of_other_types_are_taken(table, tmp_path):
    state = {name: value.bfloat16() if value.is_floating_point() else value for name, value in _state().items()}
    card = load_card(export_model(_card(tmp_path / "model", table), state, half=False))
    arrays = load_state(card.source.parent / card.weights.file, card.networks[0])
    np.testing.assert_array_equal(arrays["head.weight"], state["head.weight"].float().numpy())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("head.bias"), "1 arrays missing or of another shape, first head.bias"),
        (lambda state: state.update(_state(replace(CONFIG, features=2))), "down.0.conv0.weight"),
        (lambda state: state["head.bias"].fill_(torch.nan), "array unet.head.bias: found values that are not finite"),
    ],
)
def test_states_that_do_not_fit_are_refused_before_anything_is_written(table, tmp_path, change, said):
    state = _state()
    change(state)
    with pytest.raises(WeightsError, match=said):
        export_model(_card(tmp_path / "model", table), state)
    assert not (tmp_path / "model").exists()
