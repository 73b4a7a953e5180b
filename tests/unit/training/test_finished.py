"""A training folder becomes a model folder; what is exported, and what the card says about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from synthseg_core.errors import InputError, WeightsError
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.arrays import load_state
from synthseg_core.models.registry import load_card
from synthseg_core.networks.devices import hardware_text
from synthseg_core.networks.unet import UNet
from synthseg_core.training.checkpoint import BEST, read_checkpoint, write_checkpoint
from synthseg_core.training.config import Intervals, Stage, TrainConfig
from synthseg_core.training.export import ModelPlan, export_run
from synthseg_core.training.loop import run_training
from synthseg_core.training.validation import DrawValidation
from tests.unit.training.training_source import NETWORK, Balls

CONFIG = TrainConfig(
    network=NETWORK,
    stages=(Stage("dice", 4, 0.5),),
    ema_decay=0.9,
    device="cpu",
    intervals=Intervals(log=1, checkpoint=2, validate=2, snapshot=0),
)


@pytest.fixture
def table(tmp_path) -> LabelTable:
    rows = "".join(f"{n}\tstructure {n}\tneutral\t{n}\n" for n in range(NETWORK.out_channels))
    (tmp_path / "table.tsv").write_text("label\tname\tside\tcounterpart\n" + rows.replace("structure 0", "background"))
    return LabelTable.read(tmp_path / "table.tsv")


def _train(folder: Path, **options) -> Path:
    run_training(CONFIG, Balls(), folder, data={"recipe": "balls", "maps": ["a", "b"]}, **options)
    return folder


def _exported(card: Path) -> dict[str, np.ndarray]:
    loaded = load_card(card)
    return load_state(card.parent / loaded.weights.file, loaded.networks[0])


def test_the_best_weights_are_exported_with_their_facts(table, tmp_path):
    run = _train(tmp_path / "run", validate=DrawValidation(Balls(), [1, 2]))
    card = export_run(run, "balls", ModelPlan(table, 2.0), facts={"hardware": "a computer"}, half=False)
    assert card == run / "model" / "card.yaml"
    best = read_checkpoint(run / BEST)
    for name, array in _exported(card).items():
        np.testing.assert_array_equal(array, best["network"][name].numpy())
    training = load_card(card).training
    assert (training["recipe"], training["maps"], training["hardware"]) == ("balls", ["a", "b"], "a computer")
    assert training["steps"] == best["step"]
    assert training["hours"] >= 0
    stage = {"loss": "dice", "steps": 4, "cross_entropy": 0.5, "frozen_norms": False}
    assert training["loss"]["stages"] == [stage]
    assert training["settings"]["optimiser"]["kind"] == "adam"
    assert load_card(card).grid.voxel_size_mm == 2.0


def test_without_validation_the_average_is_exported(table, tmp_path):
    run = _train(tmp_path / "run")
    card = export_run(run, "balls", ModelPlan(table), half=False)
    average = read_checkpoint(run / "last.pt")["average"]["values"]
    for name, array in _exported(card).items():
        np.testing.assert_array_equal(array, average[name].numpy())
    assert load_card(card).training["steps"] == 4


def test_the_caller_has_the_last_word(table, tmp_path):
    run = _train(tmp_path / "run")
    facts = {"hours": 3.5, "steps": 12_000, "recipe": "two runs"}
    training = load_card(export_run(run, "balls", ModelPlan(table), facts=facts)).training
    assert {key: training[key] for key in facts} == facts


def test_a_training_that_still_runs_can_be_exported_and_one_that_just_began_cannot(table, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(InputError, match="no readable configuration of a training"):
        export_run(run, "balls", ModelPlan(table))
    (run / "config.json").write_text(json.dumps({"training": CONFIG.to_json(), "data": {}}))
    with pytest.raises(WeightsError, match="no weights"):
        export_run(run, "balls", ModelPlan(table))
    (run / "log.tsv").write_text("step\tstage\tloss\tseconds\n10\tdice\t0.9\t3600\n20\tdice\t0.7\t7200\n")
    write_checkpoint(run / BEST, {"network": UNet(NETWORK).state_dict(), "step": 10, "score": 0.1})
    training = load_card(export_run(run, "balls", ModelPlan(table))).training
    assert (training["steps"], training["hours"], training["loss"]["last"]) == (10, 1.0, 0.9)


def test_hardware_is_a_line():
    text = hardware_text(torch.device("cpu"))
    assert text.startswith(f"{torch.get_num_threads()} threads of ")
    assert "\n" not in text
    assert hardware_text(torch.device("cpu"), processes=2) == f"2 x {text}"
