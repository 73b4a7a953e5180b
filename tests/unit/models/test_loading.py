"""From card and weights to networks: companions, checks that come first, errors that name what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from synthseg_core.errors import ModelError, WeightsError
from synthseg_core.models import loading
from synthseg_core.models.arrays import save_safetensors
from synthseg_core.models.loading import load_models, load_network
from synthseg_core.models.registry import companion, load_card
from synthseg_core.networks.config import NetworkSpec, RegressorConfig
from synthseg_core.networks.regressor import Regressor
from synthseg_core.networks.regressor_inference import RegressorRunner
from synthseg_core.networks.unet import UNet
from synthseg_core.system.file_identity import sha256_of
from tests.phantoms.models import PARCELLATION, QUALITY, ROBUST, SEGMENTER, TINY, WHOLE, random_arrays, write_family

SPECS = [
    NetworkSpec("segmenter", "unet", SEGMENTER),
    NetworkSpec("regressor", "qc", RegressorConfig(3, 3, features=2, levels=2, kernel_size=3)),
]


@pytest.mark.parametrize("spec", SPECS, ids=["unet", "regressor"])
def test_network_holds_the_arrays_of_the_file(tmp_path, spec):
    arrays = random_arrays(spec, 3)
    save_safetensors(tmp_path / "w.safetensors", [(spec, arrays)])
    net = load_network(spec, tmp_path / "w.safetensors")
    assert isinstance(net, UNet if spec.prefix == "unet" else Regressor)
    assert not net.training
    state = net.state_dict()
    for name, array in arrays.items():
        np.testing.assert_array_equal(state[name], array)
    assert not any(tensor.is_meta for tensor in state.values())
    assert all(int(state[name]) == 0 for name in set(state) - set(arrays))


def test_network_that_does_not_fit_its_file(tmp_path):
    spec = SPECS[0]
    save_safetensors(tmp_path / "w.safetensors", [(spec, random_arrays(spec, 3))])
    wider = replace(spec, config=replace(SEGMENTER, features=5))
    with pytest.raises(WeightsError, match=r"w.safetensors: found .*of shape .* instead of"):
        load_network(wider, tmp_path / "w.safetensors")


def test_one_runner_a_network(tmp_path):
    tiny, robust = (load_models(load_card(model.write(tmp_path))) for model in (TINY, ROBUST))
    assert len(tiny.segmentation.runners) == 1
    assert [runner.net.config.in_channels for runner in robust.segmentation.runners] == [1, 3, 4]
    assert (tiny.parcellation, tiny.quality) == (None, None)
    assert tiny.segmentation.weights.sha256 == sha256_of(tmp_path / "tiny.safetensors")
    assert tiny.warnings == ()


@pytest.mark.parametrize(("parcellation", "quality"), [(False, True), (True, False), (True, True)])
def test_companions_beside_the_card(tmp_path, parcellation, quality):
    models = load_models(load_card(write_family(tmp_path)), parcellation=parcellation, quality=quality)
    assert (models.parcellation is not None, models.quality is not None) == (parcellation, quality)
    if models.parcellation:
        assert models.parcellation.card.name == "parcels"
        assert len(models.parcellation.runners) == 1
    if models.quality:
        assert [type(runner) for runner in models.quality.runners] == [RegressorRunner]


def test_companions_by_registered_name():
    found = {task: companion(load_card("synthseg-2.0"), task).name for task in ("parcellation", "quality")}
    assert found == {"parcellation": "synthseg-parc-2.0", "quality": "synthseg-qc-2.0"}


@pytest.mark.parametrize("task", ["parcellation", "quality"])
def test_asking_for_what_a_model_cannot_give(tmp_path, task):
    card = load_card(TINY.write(tmp_path))
    with pytest.raises(
        ModelError, match=rf"model tiny: found a request for {task}; expected what it offers: nothing beside the seg"
    ):
        load_models(card, **{task: True})


def test_offers_are_listed(tmp_path):
    model = replace(WHOLE, companions={"quality": "scores.yaml"})
    with pytest.raises(ModelError, match="what it offers: quality; choose another model"):
        load_models(load_card(write_family(tmp_path, model)), parcellation=True)


def test_companion_that_does_not_exist(tmp_path):
    model = replace(WHOLE, companions={"quality": "nothing.yaml"})
    with pytest.raises(ModelError, match=r"nothing.yaml: found neither a registered model nor a card file"):
        load_models(load_card(model.write(tmp_path)), quality=True)


@pytest.mark.parametrize(("task", "card"), [("parcellation", "scores.yaml"), ("quality", "parcels.yaml")])
def test_companion_for_another_task(tmp_path, task, card):
    """A card that names the wrong companion is a fault of the card, found before anything is computed."""
    model = replace(WHOLE, companions={task: card})
    with pytest.raises(ModelError, match=rf"found a model for .* as companion for {task}"):
        load_models(load_card(write_family(tmp_path, model)), **{task: True})


@pytest.mark.parametrize("model", [PARCELLATION, QUALITY])
def test_other_tasks_do_not_segment(tmp_path, model):
    card = load_card(model.write(tmp_path))
    with pytest.raises(
        ModelError, match=rf"{model.name}.yaml: found a model for {model.task}; expected a segmentation model; see"
    ):
        load_models(card)


def test_missing_weights_of_a_registered_model_name_the_fetch_command(tmp_path):
    with pytest.raises(
        WeightsError, match=r"model synthseg-2.0: found no weights in .*; run 'synthseg models fetch sy"
    ):
        load_models(load_card("synthseg-2.0"), weights=tmp_path)


def test_every_file_is_looked_for_before_any_is_read(tmp_path, monkeypatch):
    card = load_card(write_family(tmp_path))
    (tmp_path / "scores.safetensors").unlink()
    monkeypatch.setattr(loading, "load_network", lambda *args: pytest.fail("read before all files were found"))
    with pytest.raises(WeightsError, match="model scores"):
        load_models(card, parcellation=True, quality=True)


def test_weights_in_a_folder_of_the_users(tmp_path):
    card = load_card(TINY.write(tmp_path / "cards"))
    spec = TINY.networks[0]
    save_safetensors(tmp_path / "mine" / "tiny.safetensors", [(spec, random_arrays(spec, 77))])
    models = load_models(card, weights=tmp_path / "mine")
    assert models.segmentation.weights.path == tmp_path / "mine" / "tiny.safetensors"
    expected = random_arrays(spec, 77)["head.bias"]
    np.testing.assert_array_equal(models.segmentation.runners[0].net.head.bias, expected)


def test_warnings_of_all_weights(tmp_path):
    models = load_models(load_card(write_family(tmp_path)), parcellation=True, quality=True)
    parts = {
        task: replace(part, weights=replace(part.weights, warnings=(f"odd {task}",)))
        for task, part in vars(models).items()
    }
    assert replace(models, **parts).warnings == ("odd segmentation", "odd parcellation", "odd quality")


def test_device(tmp_path):
    models = load_models(load_card(TINY.write(tmp_path)), device=torch.device("cpu"))
    assert models.segmentation.runners[0].device == torch.device("cpu")


def test_chain_whose_networks_do_not_fit_together(tmp_path):
    """Found when the card is read, not when a scan has been conformed and the first network has run."""
    first, denoiser, last = ROBUST.networks
    for networks in (
        (replace(first, config=replace(first.config, out_channels=4)), denoiser, last),
        (first, replace(denoiser, config=replace(denoiser.config, out_channels=2)), last),
        (replace(TINY.networks[0], config=replace(SEGMENTER, in_channels=2)),),
        (first, last),
        (denoiser, denoiser, denoiser, last),
    ):
        with pytest.raises(ModelError, match=r"robust.yaml: found .*(input channels of|the networks)"):
            load_card(replace(ROBUST, networks=networks).write(tmp_path))


def test_companion_of_the_same_name(tmp_path):
    """Names are the users' business: a companion may be called like the model that it belongs to."""
    path = write_family(tmp_path)
    for card in tmp_path.glob("*.yaml"):
        content = yaml.safe_load(card.read_text())
        card.write_text(yaml.safe_dump({**content, "name": "mine"}))
    models = load_models(load_card(path), parcellation=True, quality=True)
    assert models.parcellation is not None
    assert models.quality is not None
    loaded = (models.segmentation, models.parcellation, models.quality)
    assert [model.card.task for model in loaded] == ["segmentation", "parcellation", "quality"]
