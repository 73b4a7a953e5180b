"""Recipes: the published values of every preset, and recipes as YAML or JSON."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import yaml

from synthseg_core.errors import SynthSegError
from synthseg_core.synth import Recipe, read_recipe
from synthseg_core.synth.priors import IntensityPriors
from synthseg_core.synth.randomness import Range
from synthseg_core.synth.recipe_file import recipe_from_mapping, recipe_names, recipe_to_mapping

# Column "official" of the published parameters, then what the other presets change.
OFFICIAL = {
    "channels": 1,
    "mixture.means": [0, 250],
    "mixture.stds": [0, 30],
    "mixture.priors": None,
    "mixture.mix_prior_and_random": False,
    "target_voxel_size_mm": None,
    "crop.shape": [160, 160, 160],
    "crop.multiple": 32,
    "flip_probability": 0.5,
    "deformation.scaling": [0.8, 1.2],
    "deformation.rotation_deg": [-15, 15],
    "deformation.shearing": [-0.012, 0.012],
    "deformation.translation_voxels": [0, 0],
    "deformation.elastic_std_voxels": 4,
    "deformation.elastic_scale": 0.04,
    "resolution.mode": "random",
    "resolution.max_all_axes_mm": 4,
    "resolution.max_one_axis_mm": 8,
    "resolution.native_probability": 0.05,
    "resolution.all_axes_probability": 0.1,
    "resolution.spacing_mm": None,
    "resolution.thickness_mm": None,
    "resolution.blur_range": 1.03,
    "bias_field.max_std": 0.7,
    "bias_field.scale": 0.025,
    "bias_field.probability": 0.95,
    "intensity.clip": 300,
    "intensity.gamma_std": 0.5,
    "class_column": "class",
    "output_column": "output",
    "order": "bias_first",
}
ROBUST = {"mixture.means": [0, 255], "mixture.stds": [0, 50], "target_voxel_size_mm": 1}
CHANGES = {
    "official": {},
    "advanced": {
        "mixture.priors": IntensityPriors.builtin("t1_priors"),
        "crop.multiple": None,
        "resolution.mode": "fixed",
        "resolution.spacing_mm": [[1, 1, 3]],
        "resolution.thickness_mm": [[1, 1, 3]],
        "class_column": "class_t1",
    },
    "robust_s1": ROBUST | {"output_column": "output_groups"},
    "robust_s2": ROBUST,
    "pv": {
        "deformation.scaling": [0.85, 1.15],
        "deformation.shearing": [-0.01, 0.01],
        "deformation.elastic_std_voxels": 3,
        "mixture.means": [25, 225],
        "mixture.stds": [5, 25],
        "bias_field.max_std": 0.3,
        "resolution.mode": "fixed",
        "resolution.spacing_mm": [[6, 1, 1]],
        "resolution.thickness_mm": [[4, 1, 1]],
        "resolution.blur_range": 1.5,
        "order": "resolution_first",
    },
}
# Stored samples and trainings hold recipes in full: another number here would start them anew.
DIGESTS = {
    "monai": "7ad2191c08dc1ab7",
    "monai_validation": "7ed383786a570484",
    "tiny_monai": "0c7b331478d2c03c",
    "advanced": "ab5e199e81fd1aee",
    "default_1mm": "d3bd3a4ce07e1dd0",
    "default_2mm": "d303cd41e2038f0d",
    "default_folded": "cdc79ed956608ffa",
    "head_2mm": "d6a630fdfc71d132",
    "head_validation": "04e9dc4c8dcb4c57",
    "official": "bfb3866e089ae230",
    "pv": "e5ac71794424a450",
    "robust_s1": "244f7a6fd6232ad7",
    "denoiser": "d2de1cda61a6249b",
    "robust_s2": "b62d3cf156ba8a1c",
    "quality": "8b09721622ae2c4c",
    "quality_2mm": "7e8316c4214ce95b",
    "scout": "3724b98768abaf17",
    "supervised": "3da60eda33ec9fcf",
    "tiny": "3bfeca9bcbdad528",
    "tiny_supervised": "7ec71d02ef53600e",
    "tiny_denoiser": "65dde95dd394afa8",
    "tiny_quality": "75ba705490fd24c0",
    "tiny_robust": "630a64c8ee033297",
}


def entry(content: dict, name: str):
    for part in name.split("."):
        content = content[part]
    return content


@pytest.mark.parametrize("preset", CHANGES)
def test_presets_have_the_published_values(preset):
    content = recipe_to_mapping(read_recipe(preset))
    for name, value in (OFFICIAL | CHANGES[preset]).items():
        expected = recipe_to_mapping(value) if isinstance(value, IntensityPriors) else value
        assert entry(content, name) == expected, name


def test_presets_stay_as_they_were():
    contents = {name: json.dumps(recipe_to_mapping(read_recipe(name)), sort_keys=True) for name in recipe_names()}
    assert {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in contents.items()} == DIGESTS
    assert read_recipe("official") == Recipe()


@pytest.mark.parametrize("preset", recipe_names())
def test_recipes_survive_json_and_yaml(preset):
    recipe = read_recipe(preset)
    content = recipe_to_mapping(recipe)
    assert recipe_from_mapping(json.loads(json.dumps(content))) == recipe
    assert recipe_from_mapping(yaml.safe_load(yaml.safe_dump(content))) == recipe
    assert read_recipe(preset) == recipe


def test_files_start_from_a_preset(tmp_path):
    text = """
preset: pv
crop: {shape: [96, 64, 96]}
deformation:
  rotation_deg: [-20, 20]
  scaling: [[0.8, 0.95, 0.95], [1.2, 1.05, 1.05]]
bias_field: {max_std: 4e-1}
drop_labels: [{values: [24], probability: 0.3, maps: cerebral}]
"""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    recipe = read_recipe(path)
    assert recipe.crop.shape == (96, 64, 96)
    assert recipe.crop.multiple == 32
    assert recipe.deformation.rotation_deg == Range(-20, 20)
    assert recipe.deformation.scaling == Range((0.8, 0.95, 0.95), (1.2, 1.05, 1.05))
    assert recipe.deformation.elastic_std_voxels == 3  # of the preset
    assert recipe.bias_field.max_std == 0.4  # which YAML takes for text
    assert recipe.drop_labels[0].values == (24,)
    assert recipe.order == "resolution_first"
    (tmp_path / "mine.json").write_text(json.dumps(yaml.safe_load(text)))
    assert read_recipe(tmp_path / "mine.json") == recipe
    assert read_recipe(str(path), {"crop.shape": None, "channels": 1}).crop.shape is None


def test_changes_to_a_preset():
    recipe = read_recipe("official", {"crop.shape": [64, 64, 64], "resolution": {"max_one_axis_mm": 5}})
    assert recipe.crop.shape == (64, 64, 64)
    assert recipe.resolution.max_one_axis_mm == 5
    assert recipe.resolution.max_all_axes_mm == 4
    with pytest.raises(SynthSegError, match="both crop"):
        read_recipe("official", {"crop": 1, "crop.shape": 2})


def test_priors_of_files_lie_beside_the_recipe(tmp_path):
    table = "class\tmean_of_mean\tstd_of_mean\tmean_of_std\tstd_of_std\n0\t1\t2\t3\t4\n1\t5\t6\t7\t8\n"
    (tmp_path / "mine.tsv").write_text(table)
    (tmp_path / "recipe.yaml").write_text("mixture: {priors: mine.tsv}")
    priors = read_recipe(tmp_path / "recipe.yaml").mixture.priors
    assert priors == IntensityPriors((((1, 2), (5, 6)),), (((3, 4), (7, 8)),))
    (tmp_path / "recipe.yaml").write_text("mixture: {priors: {table: mine.tsv, distribution: uniform}}")
    assert read_recipe(tmp_path / "recipe.yaml").mixture.priors.distribution == "uniform"


def test_priors_of_the_reference_are_arrays(tmp_path):
    """Rows 2 m and 2 m + 1 of an array hold the two parameters of modality m."""
    np.save(tmp_path / "prior_means.npy", [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]])
    np.save(tmp_path / "prior_stds.npy", np.ones((4, 3)))
    text = "channels: 2\nmixture: {priors: {means: prior_means.npy, stds: prior_stds.npy, block_per_channel: true}}"
    (tmp_path / "recipe.yml").write_text(text)
    priors = read_recipe(tmp_path / "recipe.yml").mixture.priors
    assert priors.means == (((1, 4), (2, 5), (3, 6)), ((7, 10), (8, 11), (9, 12)))
    assert priors.block_per_channel
    np.save(tmp_path / "prior_means.npy", np.ones((3, 3)))
    with pytest.raises(SynthSegError, match=r"prior_means\.npy: found an array of shape"):
        read_recipe(tmp_path / "recipe.yml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crp: 1", "unknown entries crp"),
        ("crop: {shap: 1}", "crop: found unknown entries shap"),
        ("crop: {shape: [1, 2]}", "crop, shape"),
        ("crop: {shape: [160, 160, 0]}", "positive sizes"),
        ("crop: 160", "crop: found 160"),
        ("preset: officious", "'officious'; expected one of advanced"),
        ("deformation: {rotation_deg: 15}", r"rotation_deg: found 15; expected \[low, high\]"),
        ("deformation: {rotation_deg: [15, -15]}", "rotation_deg: range"),
        ("deformation: {scaling: [0, 1]}", "scaling"),
        ("deformation: {affine_order: x}", "affine_order"),
        ("flip_probability: 2", "flip_probability"),
        ("flip_probability: yes", "flip_probability: found True"),
        ("flip_probability: .nan", "expected a number"),
        ("channels: 1.5", "channels"),
        ("mixture: {priors: t2_priors}", "t1_priors, or a file"),
        ("mixture: {priors: absent.tsv}", "absent.tsv"),
        ("mixture: {priors: {table: t1_priors, means: []}}", "a table, or means and stds"),
        ("mixture: {priors: {means: [[[1, -2]]], stds: [[[1, 2]]]}}", "deviation of 0 or more"),
        ("mixture: {priors: {table: t1_priors, block_per_channel: true}}\nchannels: 2", "one block per channel"),
        ("background: {mode: masked}", "resolution_first"),
        ("resolution: {spacing_mm: [[1, 1, 3]]}", "no spacing in random mode"),
        ("resolution: {mode: fixed, spacing_mm: [[1, 1, 0]]}", "distances above 0"),
        ("resolution: {mode: fixed, thickness_mm: [[1, 1, 3]]}", "as many as there are spacings"),
        ("resolution: {mode: fixed, spacing_mm: [[1, 1, 3]]}\nchannels: 2", "one triple per channel"),
        ("partial_view_probability: 0.5", "two channels"),
        ("drop_labels: {values: [24]}", "drop_labels"),
        ("sampling_map: yes please", "sampling_map"),
        ("map_step: 0", "map_step"),
        ("- official", "no entries with names"),
        ("crop: {shape: [1, 2", "no readable recipe"),
    ],
)
def test_mistakes_are_one_line_that_names_the_place(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SynthSegError, match=message) as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)


def test_absent_files_and_presets():
    with pytest.raises(SynthSegError, match="no readable recipe"):
        read_recipe("absent.yaml")
    with pytest.raises(SynthSegError, match="found preset 'absent'"):
        read_recipe("absent")
