"""Experiments: the trainings of the package, and changes to them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from synthseg_core.errors import UsageError
from synthseg_core.synth.recipe_file import read_recipe, recipe_names
from synthseg_core.system.settings import to_content
from synthseg_core.training.experiment import Experiment, preset_names

# A training goes on only with the settings that it began with.
DIGESTS = {
    "advanced": "cd2a69b59c1841fb",
    "default_1mm": "1295c874382be654",
    "default_2mm": "4fb1681bd36248b8",
    "default_2mm_group": "45c9b6f36780df3f",
    "default_folded": "8dd48d9d79f86394",
    "head_2mm": "028a2078c0043ff3",
    "monai": "a6a3e82384ee6768",
    "monai_patches": "c9af2994bd0b881a",
    "official": "20d26eeae7f80a71",
    "pv": "7cff4bc84403210d",
    "quality": "7db216b78757b35b",
    "quality_2mm": "5b4f0d5b38531deb",
    "robust_s1": "0a6a9662e998fee7",
    "denoiser": "14bde02dc5ec888f",
    "parcellation": "e24b13948136243d",
    "robust_s2": "04b814dc7cff4634",
    "scout": "089dce1f4b55481e",
    "supervised": "36a56363b4add9fc",
    "tiny": "25bf5615f1ea681a",
    "tiny_monai": "90f28041c2b7c9cc",
    "tiny_supervised": "2779d5eff8dda0be",
    "tiny_denoiser": "b395d50dd3c8f002",
    "tiny_parcellation": "4037cb8aac7135b8",
    "tiny_quality": "0cb8ab9fbb37bc98",
    "tiny_robust": "1ba8246577bbf668",
}


def test_presets_stay_as_they_were():
    assert {name: _digest(Experiment.preset(name)) for name in preset_names()} == DIGESTS


def _digest(experiment: Experiment) -> str:
    """Task, mixing, scans and scout are no settings of a checkpoint: what the samples are made of tells them apart."""
    omitted = {"task", "mixing", "scans", "scout"} | ({"pairs"} if experiment.task != "quality" else set())
    content = {name: value for name, value in to_content(experiment).items() if name not in omitted}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def test_every_recipe_has_a_training_of_its_name():
    others = {"default_2mm_group", "parcellation", "tiny_parcellation", "monai_patches"}
    recipes = set(recipe_names()) - {"monai_validation", "head_validation"}
    assert recipes == set(preset_names()) - others
    assert all(Experiment.preset(name).recipe == read_recipe(name) for name in recipes)
    assert Experiment.preset("default_2mm_group").recipe == read_recipe("default_2mm")
    assert Experiment.preset("parcellation").recipe == replace(read_recipe("robust_s2"), output_column="output_parcels")


@pytest.mark.parametrize("recipe", ["pv", {"preset": "pv"}])
def test_another_recipe_takes_the_place_of_the_preset(recipe):
    assert Experiment.preset("tiny").changed({"recipe": recipe}).recipe == read_recipe("pv")


def test_entries_of_a_recipe_change_that_of_the_preset():
    changed = Experiment.preset("tiny").changed({"recipe": {"channels": 2}, "validation": {"draws": 0}})
    assert changed.recipe == read_recipe("tiny", {"channels": 2})
    assert changed.validation.draws == 0
    assert changed.training == Experiment.preset("tiny").training


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"recipe": 3}, "settings, recipe: found 3"),
        ({"recipe": {"crp": 1}}, "settings, recipe: found unknown entries crp"),
        ({"trainin": {}}, "settings: found unknown entries trainin"),
        ({"recipe": "absent"}, "found preset 'absent'"),
    ],
)
def test_mistakes_name_the_place(content, said):
    with pytest.raises(UsageError, match=said):
        Experiment.preset("tiny").changed(content)
    with pytest.raises(UsageError, match="one of advanced"):
        Experiment.preset("absent")
