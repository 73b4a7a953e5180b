"""A training that is cut off and goes on has the weights of one that is not, whatever its task."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthseg_core.cli.demo.parcels import LIST, write_parcel_heads
from synthseg_core.synth.maps import read_labels
from synthseg_core.training.checkpoint import LAST, read_checkpoint
from synthseg_core.training.config import Intervals
from synthseg_core.training.loop import run_training
from synthseg_core.training.prepare import Inputs, MapsSource
from synthseg_core.training.tasks import prepare
from tests.unit.training.quality_models import quality_experiment, quality_inputs, segmenter_card
from tests.unit.training.tasks.small import CPU, denoiser_model, experiment, groups_model

STEPS, KILLED_AFTER = 4, 2


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


def _require_equal(config, found, tmp_path):
    run_training(config, found.source, tmp_path / "whole", data=found.data)
    with pytest.raises(KilledError):
        run_training(config, Cut(found.source, KILLED_AFTER), tmp_path / "cut", data=found.data)
    run_training(config, found.source, tmp_path / "cut", data=found.data)
    whole, cut = (read_checkpoint(tmp_path / name / LAST) for name in ("whole", "cut"))
    assert cut["step"] == whole["step"] == STEPS
    assert all(torch.equal(value, cut["network"][name]) for name, value in whole["network"].items())
