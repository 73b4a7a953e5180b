"""Options that came later: they change neither the digests of models and trainings from before nor their files."""

from __future__ import annotations

import hashlib
import json

import pytest

from synthseg_core.app.stage_options import definition_sha256
from synthseg_core.errors import ModelError
from synthseg_core.models.card_file import card_text
from synthseg_core.models.registry import load_card, registered_models
from synthseg_core.networks.config import RegressorConfig, UNetConfig, without_later_defaults
from synthseg_core.training.config import OptimiserConfig, TrainConfig, fixed_part
from synthseg_core.training.experiment import Experiment

# As they were before the options: first digits of SHA-256.
DEFINITIONS = {
    "default-2mm": "00a4886139ae4f16",
    "synthseg-1.0": "34a5da36ca5406eb",
    "synthseg-2.0": "ecd0afdf1ad2096a",
    "synthseg-parc-2.0": "ccdf64e57ec799ef",
    "synthseg-qc-2.0": "6d5b83193ed1f068",
    "synthseg-robust-2.0": "7e8e289b132eaf98",
    "tiny-random-cortex": "badb91962f1fb6e4",
    "tiny-random-parc": "67fa389ade949b6b",
    "tiny-random-qc": "03741b21d4ef5920",
    "tiny-random": "747eba6598ab5abc",
}
TRAININGS = {
    "official": ("772693791e383c91", "ac36cd5a5bed0979"),
    "robust_s1": ("772693791e383c91", "ac36cd5a5bed0979"),
    "default_2mm": ("5e7cc194cd012c85", "7984369128520516"),
    "default_1mm": ("3c99ab143740d34f", "323ce333b9770c5f"),
    "tiny": ("0a410e3064966fff", "43ca2f32e84d21ad"),
}
OWN = UNetConfig(features=4, levels=2, widths=(4, 6), norm="group", activation="leaky_relu", residual=True, folding=2)


@pytest.mark.parametrize(("name", "digest"), DEFINITIONS.items())
def test_definitions_of_registered_models_have_the_digests_that_they_had(name, digest):
    assert definition_sha256(load_card(name)).startswith(digest)


def test_all_models_from_then_are_still_registered():
    assert set(DEFINITIONS) <= set(registered_models())


def hash_of(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("preset", "digests"), TRAININGS.items())
def test_trainings_have_the_digests_that_they_had(preset, digests):
    """Of what a resume compares, and of ``config.json``."""
    config = Experiment.preset(preset).training
    assert (hash_of(fixed_part(config)), hash_of(config.to_json())) == digests


def test_options_that_say_something_are_kept_everywhere():
    assert without_later_defaults(vars(UNetConfig())).keys() == {
        "in_channels", "out_channels", "features", "levels", "kernel_size", "skips"
    }  # fmt: skip
    assert without_later_defaults(vars(OWN)) == vars(OWN)
    config = TrainConfig(network=OWN, optimiser=OptimiserConfig("muon", momentum=0.9))
    assert TrainConfig.from_json(config.to_json()) == config
    assert fixed_part(config)["network"]["norm"] == "group"
    assert fixed_part(config)["optimiser"]["momentum"] == 0.9


def test_card_files_leave_later_options_out_at_their_defaults():
    card = load_card("tiny-random")
    assert "norm" not in card_text(card, "tiny")


def test_regressors_count_the_blocks_that_they_average():
    assert RegressorConfig(levels=3).halvings == 3
    assert RegressorConfig(levels=3, pooling=4).halvings == 5
    assert "pooling" not in without_later_defaults({"pooling": 1})
    with pytest.raises(ModelError, match="pooling: found 3; expected a power of 2"):
        RegressorConfig(pooling=3)


def test_folding_is_one_halving_more_with_smaller_maps():
    plain, folded = (UNetConfig(features=16, levels=4, norm="group", folding=edge) for edge in (1, 2))
    assert (plain.halvings, folded.halvings) == (3, 4)
    assert (plain.detail_features, folded.detail_features) == (0, 32)
    assert (plain.finest_maps, folded.finest_maps) == (32, 12)
