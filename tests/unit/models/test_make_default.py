"""Trained models that the package takes over as its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from synthseg_core.errors import ModelError
from synthseg_core.labels.table import LabelTable
from synthseg_core.models import make_default, registry
from synthseg_core.models.card_file import read_card, rewrite_card
from synthseg_core.models.loading import load_models
from synthseg_core.models.make_default import FACTS, QUALITY_FACTS, adopt, adopt_quality, main
from synthseg_core.models.registry import default_model, load_card, registered_models
from synthseg_core.networks.config import RegressorConfig, UNetConfig
from synthseg_core.networks.regressor import Regressor
from synthseg_core.networks.unet import UNet
from synthseg_core.training.export import ModelPlan, export_model, trained_card
from synthseg_core.training.tasks.quality import KIND
from tests.phantoms.models import STRUCTURES

TRAINING = dict.fromkeys(FACTS, 1) | {"dice": {"synthetic": {"score": 0.5}}}


@pytest.fixture
def resources(tmp_path, monkeypatch) -> Path:
    """A copy of the package's resources, in place of them."""
    folder = tmp_path / "resources"
    shutil.copytree(registry.resources_folder(), folder)
    monkeypatch.setattr(registry, "resources_folder", lambda: folder)
    monkeypatch.setattr(make_default, "resources_folder", lambda: folder)
    return folder


def _exported(folder: Path, table: LabelTable | None = None, training=TRAINING) -> Path:
    table = table or LabelTable.builtin("segmentation_2.0")
    config = UNetConfig(out_channels=len(table), features=4, levels=3)
    torch.manual_seed(1)
    return export_model(
        trained_card(folder, "mine", ModelPlan(table, 2.0), config, training), UNet(config).state_dict()
    )


def test_the_model_is_carried_as_it_is_and_becomes_the_default(resources, tmp_path):
    source = _exported(tmp_path / "model")
    card = adopt(source, title="A model of our own")
    assert default_model() == "default-2mm"
    assert "default-2mm" in registered_models()
    found = load_card("default")
    assert found == card
    assert (found.name, found.title) == ("default-2mm", "A model of our own")
    assert found.weights.licence == "Apache-2.0"
    assert found.training["dice"] == TRAINING["dice"]
    assert found.plausible_total_ml == load_card("synthseg-2.0").plausible_total_ml
    assert found.labels == LabelTable.builtin("segmentation_2.0")
    assert found.grid == read_card(source).grid
    carried = (resources / "weights" / "default-2mm.safetensors").read_bytes()
    assert carried == (tmp_path / "model" / "weights.safetensors").read_bytes()
    loaded = load_models(found)
    assert loaded.segmentation.weights.published
    assert loaded.warnings == ()


def test_a_list_of_labels_of_its_own_comes_along(resources, tmp_path):
    (tmp_path / "own.tsv").write_text(STRUCTURES)
    card = adopt(_exported(tmp_path / "model", LabelTable.read(tmp_path / "own.tsv")), "other")
    assert (resources / "labels" / "other.tsv").is_file()
    assert load_card("default").labels.labels == card.labels.labels == (0, 42, 3, 16)
    assert card.plausible_total_ml is None


def test_adopting_again_replaces(resources, tmp_path):
    adopt(_exported(tmp_path / "first"))
    second = _exported(tmp_path / "second", training={**TRAINING, "steps": 2})
    assert adopt(second).training["steps"] == 2
    assert load_card("default").training["steps"] == 2


@pytest.mark.parametrize("missing", FACTS)
def test_cards_that_keep_silent_are_refused(resources, tmp_path, missing):
    before = default_model()
    training = {key: value for key, value in TRAINING.items() if key != missing}
    with pytest.raises(ModelError, match=f"no {missing} below 'training'"):
        adopt(_exported(tmp_path / "model", training=training), "silent")
    assert default_model() == before
    assert not (resources / "models" / "silent.yaml").exists()


def test_weights_of_another_training_are_refused(resources, tmp_path):
    source = _exported(tmp_path / "model")
    weights = source.with_name("weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(ModelError, match="damaged"):
        adopt(source)
    card = read_card(source)
    rewrite_card(replace(card, weights=replace(card.weights, sha256=None)))
    with pytest.raises(ModelError, match="unchecked"):
        adopt(source)
    weights.unlink()
    with pytest.raises(ModelError, match="missing"):
        adopt(source)


def test_weights_that_are_too_large_are_refused(resources, tmp_path, monkeypatch):
    monkeypatch.setattr(make_default, "MAX_BYTES", 1000)
    with pytest.raises(ModelError, match="at most 1000"):
        adopt(_exported(tmp_path / "model"))


def test_command_of_the_makefile(resources, tmp_path, capsys):
    source = _exported(tmp_path / "model")
    assert main([str(source), "--name", "default-3mm"]) == 0
    assert capsys.readouterr().out.startswith("default-3mm is the default model now")
    assert main([str(tmp_path / "nothing.yaml")]) == 2
    assert "error: " in capsys.readouterr().err
    assert default_model() == "default-3mm"


def test_a_model_that_finds_the_brain_is_carried_and_not_the_default(resources, tmp_path, capsys):
    before = default_model()
    assert main([str(_exported(tmp_path / "model")), "--beside", "--title", "Finds the brain"]) == 0
    assert capsys.readouterr().out.startswith("mine is carried now: ")
    assert (default_model(), load_card("mine").title) == (before, "Finds the brain")


def test_a_model_of_the_head_stands_beside_the_default(resources, tmp_path, capsys):
    before, brain = default_model(), load_card("synthseg-2.0")
    plan = ModelPlan(LabelTable.builtin("head"), 2.0, total_of=brain.total_labels)
    config = UNetConfig(out_channels=40, features=2, levels=2)
    source = export_model(trained_card(tmp_path / "run", "run", plan, config, TRAINING), UNet(config).state_dict())
    assert main([str(source), "--beside", "--name", "head-2mm"]) == 0
    card = load_card("head-2mm")
    assert (default_model(), card.labels) == (before, replace(LabelTable.builtin("head"), name=card.labels.name))
    assert card.total_labels == brain.total_labels
    assert card.plausible_total_ml == brain.plausible_total_ml
    assert "label_table: head\n" in card.source.read_text()


def test_the_default_model_exists():
    assert default_model() in registered_models()
    assert load_card("default").name == default_model()


def _scores(folder: Path, facts=()) -> Path:
    """A quality model for the default one."""
    default = load_card("default")
    config = RegressorConfig(features=2, levels=2, kernel_size=3, pooling=2)
    segmenter = {"model": default.name, "weights_sha256": default.weights.sha256}
    training = {**dict.fromkeys(QUALITY_FACTS, 1), "segmenter": segmenter, **dict(facts)}
    plan = ModelPlan(LabelTable.builtin("qc_2.0"), default.grid.voxel_size_mm, KIND)
    torch.manual_seed(2)
    return export_model(trained_card(folder, "scores", plan, config, training), Regressor(config).state_dict())


def test_a_quality_model_becomes_the_companion_of_the_default(resources, tmp_path):
    card = adopt_quality(_scores(tmp_path / "scores"), title="Scores of our own")
    name = f"{default_model()}-qc"
    assert load_card("default") == card
    assert card.companions == {"quality": name}
    found = load_models(card, quality=True)
    assert found.quality.card.title == "Scores of our own"
    assert found.quality.weights.published
    assert found.warnings == ()


def test_scores_for_another_model_are_refused(resources, tmp_path):
    other = _scores(tmp_path / "scores", {"segmenter": {"model": "other", "weights_sha256": "0" * 64}})
    with pytest.raises(ModelError, match="trained for other; expected one for quality, trained for default-2mm as it"):
        adopt_quality(other)


@pytest.mark.parametrize("missing", QUALITY_FACTS)
def test_scores_whose_card_keeps_silent_are_refused(resources, tmp_path, missing):
    path = _scores(tmp_path / "scores")
    card = read_card(path)
    rewrite_card(replace(card, training={key: value for key, value in card.training.items() if key != missing}))
    with pytest.raises(ModelError):
        adopt_quality(path)


def test_new_weights_keep_the_scores_until_they_are_trained_anew(resources, tmp_path, capsys):
    adopt_quality(_scores(tmp_path / "scores"))
    assert main([str(_exported(tmp_path / "model"))]) == 0
    assert load_card("default").companions == {"quality": f"{default_model()}-qc"}
    assert "adds quality to it; retrain it: make default-qc" in capsys.readouterr().out
    assert main([str(_scores(tmp_path / "again")), "--quality"]) == 0
    assert "retrain" not in capsys.readouterr().out


def test_models_of_other_labels_lose_the_scores(resources, tmp_path):
    adopt_quality(_scores(tmp_path / "scores"))
    (tmp_path / "own.tsv").write_text(STRUCTURES)
    assert adopt(_exported(tmp_path / "model", LabelTable.read(tmp_path / "own.tsv"))).companions == {}
