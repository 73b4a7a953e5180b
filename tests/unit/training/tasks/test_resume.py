"""A training that is cut off and goes on has the weights of one that is not, whatever its task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from synthseg_core.cli.demo.heads import write_heads, write_scans
from synthseg_core.cli.demo.parcels import LIST, write_parcel_heads
from synthseg_core.synth.maps import read_labels
from synthseg_core.synth.real_scans import MixedScans
from synthseg_core.training.checkpoint import LAST, read_checkpoint
from synthseg_core.training.config import Intervals
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.loop import run_training
from synthseg_core.training.prepare import Inputs, MapsSource
from synthseg_core.training.tasks import prepare
from tests.unit.training.quality_models import quality_experiment, quality_inputs, segmenter_card
from tests.unit.training.tasks.small import CPU, SETTINGS, denoiser_model, experiment, groups_model, prepared

STEPS, KILLED_AFTER = 4, 2
ROOT = Path(__file__).parents[4]
MIXED = {"recipe": {"target_voxel_size_mm": None}, "mixing": {"synthetic_share": 0.5, "recipe": "tiny"}}


def supervised_inputs(folder, wanted) -> Inputs:
    """Two scans with their label maps."""
    maps = write_heads(folder / "maps", 2, voxel_size_mm=4.0)
    write_scans(maps, folder / "images")
    labels = read_labels("generation_54", wanted.recipe)
    return Inputs(MapsSource([folder / "maps"], labels), images=[folder / "images"])


def wait_for_step(folder, step) -> None:
    """Wait until a training has stored so many steps."""
    for _ in range(1200):
        if (folder / LAST).is_file() and read_checkpoint(folder / LAST)["step"] >= step:
            return
        time.sleep(0.05)
    pytest.fail("the training did not get there")


class KilledError(Exception):
    """What ends the first run."""


class Cut:
    """Passes samples on, and dies when it is asked once more."""

    def __init__(self, source, batches):
        self.source, self.left = source, batches

    def batch(self, seeds):
        if not self.left:
            raise KilledError
        self.left -= 1
        return self.source.batch(seeds)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    groups = groups_model(folder)
    return {"group_segmenter": str(groups), "denoiser": str(denoiser_model(folder, groups))}


def test_a_cut_training_for_quality_too(tmp_path):
    """Its pairs are kept on disk, and made again where they are not."""
    wanted = quality_experiment(validation={"draws": 0}).with_steps(STEPS)
    found = prepare(wanted, quality_inputs(tmp_path, wanted, segmenter_card(tmp_path)), CPU)
    config = replace(found.config, intervals=Intervals(1, 1, 0, 0))
    _require_equal(config, found, tmp_path)


@pytest.mark.parametrize("preset", ["tiny", "tiny_denoiser", "tiny_robust", "tiny_parcellation"])
def test_a_cut_training_ends_with_the_weights_of_a_whole_one(tmp_path, chain, preset):
    wanted = experiment(preset).with_steps(STEPS)
    maps = write_parcel_heads(tmp_path, 1, voxel_size_mm=4.0)
    models = {
        "tiny_denoiser": {"group_segmenter": chain["group_segmenter"]},
        "tiny_robust": chain,
    }.get(preset, {})
    found = prepare(wanted, Inputs(MapsSource(maps, read_labels(str(tmp_path / LIST), wanted.recipe)), models), CPU)
    config = replace(found.config, intervals=Intervals(1, 1, 0, 0))
    _require_equal(config, found, tmp_path)


def test_a_cut_training_of_the_port(tmp_path):
    wanted = Experiment.preset("tiny_monai").changed(
        {**SETTINGS, "training": {"device": "cpu"}, "validation": {"draws": 0}}
    )
    wanted = wanted.changed({"training": {"network": {"features": [4, 6, 8, 4]}}}).with_steps(STEPS)
    found = prepared(tmp_path, wanted)
    _require_equal(replace(found.config, intervals=Intervals(1, 1, 0, 0)), found, tmp_path)


def test_a_cut_training_on_real_and_synthetic_scans(tmp_path):
    wanted = experiment("tiny_supervised", **MIXED).with_steps(STEPS)
    inputs = supervised_inputs(tmp_path, wanted)
    found = prepare(wanted, inputs, CPU)
    assert isinstance(found.source, MixedScans)
    _require_equal(replace(found.config, intervals=Intervals(1, 1, 0, 0)), found, tmp_path)


@pytest.mark.slow
def test_a_supervised_training_that_is_killed_has_the_weights_of_a_whole_one(tmp_path):
    """Killed as by a cluster, in a process of its own; the same command goes on."""
    maps = write_heads(tmp_path / "maps", 2, voxel_size_mm=4.0)
    write_scans(maps, tmp_path / "images")
    settings = {"recipe": {"crop": {"shape": [24, 32, 24]}, "target_voxel_size_mm": None}, "validation": {"draws": 0}}
    settings["training"] = {"network": {"features": 2, "levels": 3}, "intervals": {"log": 1, "checkpoint": 1}}
    (tmp_path / "small.yaml").write_text(json.dumps(settings))
    words = [
        "train",
        "--preset",
        "tiny_supervised",
        "--maps",
        str(tmp_path / "maps"),
        "--steps",
        "25",
        "--device",
        "cpu",
    ]
    words += ["--images", str(tmp_path / "images"), "--config", str(tmp_path / "small.yaml"), "--no-snapshot"]
    words += ["--precision", "float32", "--out"]
    command = [sys.executable, "-m", "synthseg_core.cli.main", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    quiet = subprocess.DEVNULL
    with subprocess.Popen([*command, str(tmp_path / "cut")], env=environment, stdout=quiet, stderr=quiet) as killed:
        wait_for_step(tmp_path / "cut", 3)
        killed.kill()
    assert killed.returncode == -9
    assert read_checkpoint(tmp_path / "cut" / LAST)["step"] < 25
    for name in ("cut", "whole"):
        subprocess.run([*command, str(tmp_path / name)], env=environment, check=True, stdout=quiet)
    _require_same_weights(tmp_path, 25)


def _require_equal(config, found, tmp_path):
    run_training(config, found.source, tmp_path / "whole", data=found.data)
    with pytest.raises(KilledError):
        run_training(config, Cut(found.source, KILLED_AFTER), tmp_path / "cut", data=found.data)
    run_training(config, found.source, tmp_path / "cut", data=found.data)
    _require_same_weights(tmp_path, STEPS)


def _require_same_weights(tmp_path, steps):
    whole, cut = (read_checkpoint(tmp_path / name / LAST) for name in ("whole", "cut"))
    assert cut["step"] == whole["step"] == steps
    assert all(torch.equal(value, cut["network"][name]) for name, value in whole["network"].items())
