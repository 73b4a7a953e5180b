"""``synthseg train``: from label maps to a model that segments; settings; refusals before anything starts."""

from __future__ import annotations

import json
import os
import signal

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from synthseg_core.cli.main import build_parser, main
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.training.checkpoint import read_checkpoint
from synthseg_core.training.log import read_rows

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


def _train(*words: object) -> int:
    return main(["train", *map(str, words), "--device", "cpu", "--no-snapshot", "--threads", "1"])


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_model_that_loads_comes_out(maps, settings, tmp_path, capsys):
    out = tmp_path / "mine"
    assert _train("--config", settings, "--maps", maps, "--out", out, "--precision", "float32") == 0
    said = capsys.readouterr().out
    assert "2 label maps, samples of 16x20x16 voxels of 2 mm, 5 classes, float32" in said
    (use,) = (line.removeprefix("use it: synthseg ").split() for line in said.splitlines() if "use it" in line)
    assert build_parser("segment").parse_args(use).model == str(out / "model" / "card.yaml")
    card = load_card(out / "model" / "card.yaml")
    assert card.name == "mine"
    assert card.labels.labels == (0, 1, 2, 3, 4)
    assert card.training["steps"] == int(read_checkpoint(out / "best.pt")["step"])
    assert card.training["command"].startswith(f"synthseg train --config {settings} --maps {maps} --out {out}")
    (runner,) = load_models(card).segmentation.runners
    best = read_checkpoint(out / "best.pt")["network"]
    torch.testing.assert_close(runner.net.state_dict()["head.weight"], best["head.weight"], atol=1e-3, rtol=1e-3)


def test_a_network_of_our_own_is_trained_exported_and_segments(maps, tmp_path, capsys):
    network = {"features": 2, "levels": 3, "widths": [2, 5, 6], "norm": "group", "activation": "leaky_relu"}
    training = SETTINGS["training"] | {"network": network | {"residual": True}, "optimiser": {"kind": "muon"}}
    training["stages"] = [{"loss": "dice", "steps": 2}]
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | {"training": training}))
    out = tmp_path / "own"
    assert _train("--config", path, "--maps", maps, "--out", out, "--precision", "float32") == 0
    card = load_card(out / "model" / "card.yaml")
    (spec,) = card.networks
    assert (spec.config.widths, spec.config.norm, spec.config.residual) == ((2, 5, 6), "group", True)
    (runner,) = load_models(card).segmentation.runners
    best = read_checkpoint(out / "best.pt")["network"]
    state = runner.net.state_dict()
    assert state.keys() == best.keys()
    assert all(torch.allclose(state[name], best[name], atol=1e-3, rtol=1e-3) for name in best)
    labels = _head(3)
    scan = Volume((labels % 7 * 100.0 + 20).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    write_volume(tmp_path / "scan.nii.gz", scan)
    capsys.readouterr()
    words = ["segment", tmp_path / "scan.nii.gz", "--dseg", tmp_path / "dseg.nii.gz", "--model", card.source]
    assert main([*map(str, words), "--device", "cpu", "--threads", "1"]) == 0
    found = nib.load(tmp_path / "dseg.nii.gz")
    assert found.shape == SHAPE
    assert 1 < len(np.unique(np.asarray(found.dataobj))) <= len(card.labels)


def test_a_training_that_was_asked_to_stop_leaves_the_model_so_far(maps, settings, tmp_path, capsys, monkeypatch):
    from synthseg_core.synth.generator import BrainGenerator

    batch, out = BrainGenerator.batch, tmp_path / "run"

    def stopping(self, seeds):
        if (out / "log.tsv").is_file() and len(read_rows(out / "log.tsv")) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch(self, seeds)

    monkeypatch.setattr(BrainGenerator, "batch", stopping)
    words = ("--config", settings, "--maps", maps, "--out", out)
    assert _train(*words) == 130
    assert "stopped as asked; the same command goes on from here" in capsys.readouterr().out
    last = read_checkpoint(out / "last.pt")
    assert last["step"] < 4
    (runner,) = load_models(load_card(out / "model" / "card.yaml")).segmentation.runners
    average = last["average"]["values"]["head.weight"]
    torch.testing.assert_close(runner.net.state_dict()["head.weight"], average, atol=1e-3, rtol=1e-3)
    monkeypatch.setattr(BrainGenerator, "batch", batch)
    assert _train(*words) == 0


def test_going_on_from_a_model_folder(maps, settings, tmp_path, capsys):
    words = ("--config", settings, "--maps", maps)
    assert _train(*words, "--out", tmp_path / "first") == 0
    best = read_checkpoint(tmp_path / "first" / "best.pt")["step"]
    on = (*words, "--continue-from", tmp_path / "first" / "model", "--out", tmp_path / "on")
    assert _train(*on, "--steps", best + 2) == 0
    assert [int(row["step"]) for row in read_rows(tmp_path / "on" / "log.tsv")] == [best + 1, best + 2]
    assert _train(*on, "--steps", best + 3) == 0  # its own last.pt, not the model again
    assert [int(row["step"]) for row in read_rows(tmp_path / "on" / "log.tsv")][-1] == best + 3
    weights = tmp_path / "first" / "model" / "weights.safetensors"
    other = (*words, "--out", tmp_path / "other", "--continue-from", weights)
    assert _train(*other) == 2
    assert "no number of steps with" in capsys.readouterr().err
    assert _train(*other, "--at-step", 3) == 0
    assert [int(row["step"]) for row in read_rows(tmp_path / "other" / "log.tsv")] == [4]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--at-step", "3"], "--continue-from"),
        (["--continue-from", "a", "--start-from", "b"], "--start-from too"),
        (["--continue-from", "a", "--budget", "3m"], "no number of steps"),
        (["--continue-from", "nowhere.pt"], "nowhere.pt"),
        (["--continue-from", "a.pt", "--at-step", "-1"], "start_step"),
    ],
)
def test_places_that_cannot_be(maps, settings, tmp_path, capsys, words, said):
    assert _train("--config", settings, "--maps", maps, "--out", tmp_path / "out", *words) == 2
    assert said in capsys.readouterr().err


def test_the_same_command_goes_on_and_more_steps_prolong(maps, settings, tmp_path, capsys):
    out = tmp_path / "run"
    words = ("--config", settings, "--maps", maps, "--out", out)
    assert _train(*words) == 0
    assert _train(*words) == 0
    assert "going on from last.pt" in capsys.readouterr().out
    assert len(read_rows(out / "log.tsv")) == 4
    assert _train(*words, "--steps", 6) == 0
    assert [int(row["step"]) for row in read_rows(out / "log.tsv")] == [1, 2, 3, 4, 5, 6]


def test_another_seed_in_the_same_folder_is_refused(maps, settings, tmp_path, capsys):
    words = ("--config", settings, "--maps", maps, "--out", tmp_path / "run")
    _train(*words)
    assert _train(*words, "--seed", 5) == 2
    assert "config.seed 0 instead of 5" in capsys.readouterr().err


def test_other_maps_in_the_same_folder_are_refused(maps, settings, tmp_path, capsys):
    words = ("--config", settings, "--out", tmp_path / "run")
    _train(*words, "--maps", maps)
    assert _train(*words, "--maps", maps / "head_1.nii.gz") == 2
    assert "data.maps" in capsys.readouterr().err


def test_held_out_maps_whole_volumes_and_given_weights(maps, settings, tmp_path):
    first = ("--config", settings, "--maps", maps / "head_1.nii.gz", "--validation-maps", maps / "head_2.nii.gz")
    assert _train(*first, "--validate-whole", "--out", tmp_path / "a") == 0
    assert _train(*first, "--start-from", tmp_path / "a", "--out", tmp_path / "b", "--steps", 2) == 0
    assert json.loads((tmp_path / "b" / "config.json").read_text())["data"]["maps"] == ["head_1"]


def test_a_budget_ends_the_training(maps, settings, tmp_path):
    assert _train("--config", settings, "--maps", maps, "--out", tmp_path / "run", "--budget", "3s") == 0
    rows = read_rows(tmp_path / "run" / "log.tsv")
    assert float(rows[-1]["seconds"]) < 5
    assert (tmp_path / "run" / "model" / "card.yaml").is_file()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"preset": "tinny"}, "tinny"),
        ({"exercise": {}}, "exercise"),
        ({"training": {"optimiser": {"rate": 1}}}, "rate"),
        ({"recipe": {"croup": {}}}, "croup"),
        ({"validation": {"draws": -1}}, "draws"),
        ({"maps": 3}, "maps"),
        ({"labels": "no_such_list"}, "no_such_list"),
        ({"recipe": "no_such_recipe"}, "no_such_recipe"),
    ],
)
def test_settings_that_cannot_be_are_one_line(maps, tmp_path, capsys, change, said):
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | change))
    out = tmp_path / "out"
    words = ["--config", path, "--out", out] + ([] if "maps" in change else ["--maps", maps])
    assert _train(*words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget", "soon"], "soon"),
        (["--crop", "10x10"], "10x10"),
        (["--steps", "0"], "steps"),
        (["--start-from", "nowhere.pt"], "nowhere.pt"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--batch-size", "0"], "batch_size"),
        (["--learning-rate", "-1"], "learning_rate"),
    ],
)
def test_flags_that_cannot_be_are_one_line(maps, settings, tmp_path, capsys, words, said):
    command = ["train", "--config", str(settings), "--maps", str(maps), "--out", str(tmp_path / "out"), "--no-snapshot"]
    assert main([*command, *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not (tmp_path / "out" / "last.pt").exists()


@pytest.mark.parametrize(
    ("data", "voxel_mm", "said"),
    [
        (np.zeros(SHAPE, np.int16), 2.0, "no label anywhere"),
        (np.where(_head(1) == 24, 999, _head(1)), 2.0, "999"),
        (np.where(_head(1) == 24, -3, _head(1)), 2.0, "negative"),
        (_head(1) + 0.5, 2.0, "whole"),
        (_head(1)[:-2], 2.0, "20 x 26 x 24"),
        (_head(1), 1.5, "1.5"),
    ],
)
def test_bad_label_maps_are_one_line_each(maps, settings, tmp_path, capsys, data, voxel_mm, said):
    dtype = np.float32 if data.dtype.kind == "f" else np.int16
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    write_volume(maps / "zzz.nii.gz", Volume(data, affine), dtype=dtype)
    assert _train("--config", settings, "--maps", maps, "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "zzz.nii.gz" in line
    assert said in line
    assert not (tmp_path / "out").exists()


def test_anisotropic_maps_are_refused(settings, tmp_path, capsys):
    write_volume(tmp_path / "thick.nii.gz", Volume(_head(1), np.diag([2.0, 2.0, 3.0, 1.0])), dtype=np.int16)
    assert _train("--config", settings, "--maps", tmp_path / "thick.nii.gz", "--out", tmp_path / "out") == 2
    assert "2 x 2 x 3 mm" in capsys.readouterr().err
