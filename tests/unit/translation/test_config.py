"""Trainings of translators as data: presets, changes, refusals, what a resume compares."""

from __future__ import annotations

import pytest

from synthseg_core.errors import ModelError, UsageError
from synthseg_core.system.settings import build, to_content
from synthseg_core.translation.config import TranslationConfig, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_presets_can_be_read_and_stored(name):
    config = TranslationConfig.preset(name)
    assert build(TranslationConfig, to_content(config), "stored") == config
    assert config.generators.betas == (0.5, 0.9)


def test_the_four_presets():
    assert preset_names() == ("full", "medium", "small", "tiny")
    sizes = [TranslationConfig.preset(name).size for name in ("tiny", "small", "medium", "full")]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"size": 33}, UsageError, "crops of 33 pixels"),
        ({"size": 16, "networks": {"discriminator": {"layers": 3}}}, UsageError, "32 or more"),
        ({"ema_decay": 1}, UsageError, "ema_decay"),
        ({"precision": "float16"}, UsageError, "float32 or bfloat16"),
        ({"losses": {"cycle": -1}}, UsageError, "cycle"),
        ({"losses": {"perceptual": 1}}, UsageError, "unknown entries perceptual"),
        ({"networks": {"method": "magic"}}, ModelError, "diffusion or cycle"),
    ],
)
def test_impossible_settings(changes, error, message):
    with pytest.raises(error, match=message):
        TranslationConfig.preset("tiny").changed(changes)


def test_unknown_presets_name_the_known_ones():
    with pytest.raises(UsageError, match="full, medium, small, tiny"):
        TranslationConfig.preset("huge")


def test_what_may_change_while_a_training_goes_on():
    config = TranslationConfig.preset("tiny")
    same = config.changed({"steps": 900, "budget_s": 60, "device": "cpu", "intervals": {"log": 1}})
    assert same.identity() == config.identity()
    assert config.changed({"seed": 1}).identity() != config.identity()
