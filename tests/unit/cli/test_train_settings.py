"""Settings of a training: flags over file over preset."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from synthseg_core.cli.main import build_parser
from synthseg_core.cli.train_settings import crop_shape, read_train_settings
from synthseg_core.errors import SynthSegError, UsageError
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.networks.config import UNetConfig
from synthseg_core.synth.recipe_file import read_recipe
from synthseg_core.training.experiment import RealPairSpec

SHAPE = (22, 26, 24)


# Small enough for seconds; the network has levels for 16 voxels.
SETTINGS = {
    "preset": "tiny",
    "recipe": {"map_step": 1, "crop": {"shape": [16, 20, 16], "jitter_voxels": 2}},
    "training": {
        "network": {"features": 2, "levels": 3},
        "stages": [{"loss": "weighted_l2", "steps": 1}, {"loss": "dice", "steps": 3}],
        "intervals": {"log": 1, "validate": 2, "snapshot": 0},
    },
    "validation": {"draws": 1},
}


def _head(seed: int) -> np.ndarray:
    """Skin, fluid, and white matter and cortex of either side; the seed moves the brain."""
    grids = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    x, y, z = (
        grid - shift for grid, shift in zip(grids, np.random.default_rng(seed).uniform(-0.1, 0.1, 3), strict=True)
    )
    radius = np.sqrt(x**2 + y**2 + z**2)
    labels = np.zeros(SHAPE, np.int32)
    for limit, left, right in ((0.95, 507, 507), (0.75, 24, 24), (0.65, 3, 42), (0.45, 2, 41), (0.2, 4, 43)):
        labels[radius < limit] = np.where(x < 0, left, right)[radius < limit]
    return labels


@pytest.fixture
def maps(tmp_path):
    folder = tmp_path / "maps"
    for seed in (1, 2):
        write_volume(folder / f"head_{seed}.nii.gz", Volume(_head(seed), np.diag([2.0, 2.0, 2.0, 1.0])), dtype=np.int16)
    return folder


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(SETTINGS))
    return path


def _options(*words: object):
    return build_parser("train").parse_args(["train", *map(str, words)])


def test_flags_win_over_the_file_and_the_file_over_the_preset(maps, settings, tmp_path):
    words = ("--config", settings, "--maps", maps, "--out", tmp_path / "run")
    found = read_train_settings(_options(*words))
    assert found.experiment.training.network == UNetConfig(features=2, levels=3)
    assert found.experiment.recipe.crop.shape == (16, 20, 16)
    assert found.experiment.recipe.crop.centre == "brain"  # of the preset
    assert [stage.steps for stage in found.experiment.training.stages] == [1, 3]
    changed = read_train_settings(_options(*words, "--steps", 40, "--crop", 24, "--learning-rate", 1e-4, "--seed", 3))
    assert [stage.steps for stage in changed.experiment.training.stages] == [10, 30]
    assert changed.experiment.recipe.crop.shape == (24, 24, 24)
    assert changed.experiment.training.optimiser.learning_rate == 1e-4
    assert changed.experiment.training.seed == 3


def test_presets_have_the_recipes_of_their_names(maps, tmp_path):
    for name in ("official", "default_2mm", "tiny"):
        found = read_train_settings(_options("--preset", name, "--maps", maps, "--out", tmp_path / "run"))
        assert found.experiment.recipe == read_recipe(name)
    reference = read_train_settings(_options("--preset", "official", "--maps", maps, "--out", tmp_path)).experiment
    assert reference.training.steps == 505_000


def test_real_scans_for_quality_are_a_setting_and_a_flag(maps, settings, tmp_path):
    settings.write_text(yaml.safe_dump({"preset": "tiny_quality", "scans": {"table": "a.tsv", "share": 0.5}}))
    words = ["--maps", maps, "--config", settings, "--out", tmp_path / "run"]
    assert read_train_settings(_options(*words)).experiment.scans == RealPairSpec("a.tsv", 0.5)
    assert read_train_settings(_options(*words, "--scans", "b.tsv")).experiment.scans == RealPairSpec("b.tsv", 0.5)


def test_crop_shapes():
    assert crop_shape("96") == [96, 96, 96]
    assert crop_shape("96x128x64") == [96, 128, 64]
    assert crop_shape("whole") is None
    with pytest.raises(UsageError, match="NxNxN"):
        crop_shape("big")


def test_without_a_preset_or_maps_it_says_so(tmp_path):
    with pytest.raises(SynthSegError, match="for a start tiny"):
        read_train_settings(_options("--out", tmp_path))
    with pytest.raises(SynthSegError, match="a folder of label maps"):
        read_train_settings(_options("--out", tmp_path, "--preset", "tiny"))


def test_pairs_stand_for_scans_and_maps(tmp_path, maps):
    (tmp_path / "pairs.tsv").write_text("image\tlabels\nscan.nii\tmaps/head_1.nii.gz\n")
    words = ["train", "--preset", "tiny_supervised", "--pairs", str(tmp_path / "pairs.tsv"), "--out", str(tmp_path)]
    inputs = read_train_settings(build_parser("train").parse_args(words)).inputs
    assert inputs.images == [tmp_path / "scan.nii"]
    assert inputs.maps.maps == [maps / "head_1.nii.gz"]
    assert (inputs.held_out_images, inputs.maps.held_out) == ([], [])
    with pytest.raises(UsageError, match="--pairs: found --maps too; expected one of them"):
        read_train_settings(build_parser("train").parse_args([*words, "--maps", str(maps)]))
