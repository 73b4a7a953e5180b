"""Fixed draws, labelled scans, and the scores of a model on them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from synthseg_core.cli.main import main
from synthseg_core.errors import UsageError
from synthseg_core.evaluation import draws
from synthseg_core.evaluation.draws import FixedDraws
from synthseg_core.evaluation.overlap import Overlap, dice_by_label, overlap
from synthseg_core.evaluation.validation import CaseScore, Scores, score_case, scored_labels
from synthseg_core.images.writing import write_volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.networks.config import UNetConfig
from synthseg_core.networks.unet import UNet
from synthseg_core.synth.generator import BrainGenerator
from synthseg_core.synth.maps import LabelMaps, read_label_maps
from synthseg_core.synth.recipe import CropSpec, Recipe
from synthseg_core.synth.recipe_file import read_recipe
from synthseg_core.system.tables import read_tsv
from synthseg_core.training.export import ModelPlan, export_model, trained_card
from tests.phantoms.label_maps import label_volume, write_list, write_maps
from tests.phantoms.scans import write_nifti

SHAPE = (40, 44, 36)
STRUCTURES = (2, 13, 41, 52)
RECIPE = replace(Recipe(), crop=CropSpec((24, 32, 16), 8))
TABLE = """label\tname\tside\tcounterpart
0\tbackground\tneutral\t0
2\tleft tissue\tleft\t41
13\tleft nucleus\tleft\t52
41\tright tissue\tright\t2
52\tright nucleus\tright\t13
"""
REMAP = "from_min\tfrom_max\tto\n1002\t1002\t2\n41\t41\t41\n24\t24\tignore\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Label maps, their list, and a remap table."""
    write_maps(tmp_path / "maps", count=3, shape=SHAPE)
    write_list(tmp_path / "list.tsv")
    (tmp_path / "remap.tsv").write_text(REMAP)
    return tmp_path


@pytest.fixture
def maps(folder) -> LabelMaps:
    return read_label_maps(folder / "maps", GenerationLabels.read(folder / "list.tsv"))


@pytest.fixture
def card(tmp_path) -> Path:
    """A random network of 2 mm that answers at 1 mm."""
    (tmp_path / "table.tsv").write_text(TABLE)
    config = UNetConfig(out_channels=5, features=4, levels=3)
    torch.manual_seed(3)
    table = LabelTable.read(tmp_path / "table.tsv")
    made = trained_card(tmp_path / "model", "tiny", ModelPlan(table, 2.0), config, {"steps": 0})
    return export_model(replace(made, grid=replace(made.grid, minimum_voxels=8)), UNet(config).state_dict())


# Draws


def test_draws_take_maps_in_turn_with_seeds_of_their_own(maps):
    fixed = FixedDraws(maps, RECIPE, count=5)
    scans = list(fixed)
    assert [scan.name for scan in scans] == [f"draw_0{n}_map_{n % 3 + 1}" for n in range(5)]
    assert all(scan.scan.volume.shape == scan.truth.shape == (24, 32, 16) for scan in scans)
    assert all(set(np.unique(scan.truth)) <= {0, *STRUCTURES} for scan in scans)
    assert fixed.labels == STRUCTURES
    assert not np.array_equal(scans[0].scan.volume.data, scans[3].scan.volume.data)
    drawn = BrainGenerator(maps, RECIPE).draw(1004)
    assert fixed._draw(4).channels == drawn.channels
    assert fixed._draw(4).rotation_deg == drawn.rotation_deg


def test_kept_draws_are_not_made_again_unless_something_changed(maps, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = FixedDraws(maps, RECIPE, count=2, cache=cache)
    made = [first.scan(number) for number in range(2)]
    applied = []
    apply = BrainGenerator.apply
    monkeypatch.setattr(BrainGenerator, "apply", lambda self, draw: applied.append(draw) or apply(self, draw))
    kept = FixedDraws(maps, RECIPE, count=2, cache=cache)
    for number in range(2):
        scan = kept.scan(number)
        np.testing.assert_array_equal(scan.scan.volume.data, made[number].scan.volume.data)
        np.testing.assert_array_equal(scan.truth, made[number].truth)
        np.testing.assert_array_equal(scan.scan.volume.affine, made[number].scan.volume.affine)
    assert not applied
    FixedDraws(maps, replace(RECIPE, flip_probability=0.0), count=2, cache=cache).scan(0)
    other = maps.indices.clone()
    other[0, 20, 20, 20] = 1
    FixedDraws(replace(maps, indices=other), RECIPE, count=2, cache=cache).scan(0)
    FixedDraws(maps, RECIPE, count=2, first_seed=5, cache=cache).scan(0)
    assert len(applied) == 3
    monkeypatch.setattr(draws, "_code_digest", lambda: "another program")
    FixedDraws(maps, RECIPE, count=2, first_seed=5, cache=cache).scan(0)
    assert len(applied) == 4
    assert sorted(path.name for path in cache.iterdir()) == ["draw_00.npz", "draw_01.npz"]


@pytest.mark.slow
def test_the_forty_draws(test_data):
    """As defined beside the data: draw i shows map 17 + i modulo 4, 160 voxels an edge, around the brain."""
    paths = sorted((test_data / "training_label_maps").glob("training_seg_*.nii.gz"))[16:]
    fixed = FixedDraws(read_label_maps(paths, GenerationLabels.builtin()), read_recipe("official"))
    assert len(fixed) == 40
    assert len(fixed.labels) == 32
    for number in (0, 3, 37):
        scan = fixed.scan(number)
        assert scan.name == f"draw_{number:02d}_training_seg_{17 + number % 4}"
        assert scan.truth.shape == (160, 160, 160)
        assert len(np.unique(scan.truth)) > 25


def _labelled(folder: Path, truth=None) -> tuple[Path, Path, Path]:
    label_map = label_volume(shape=(19, 23, 17)) if truth is None else truth
    values = label_map.data.copy()
    values[values == 2] = 1002
    image = write_nifti(folder / "scan.nii.gz", replace(label_map, data=label_map.data * 3.0 + 5))
    return image, write_nifti(folder / "labels.nii.gz", replace(label_map, data=values), "int32"), folder / "remap.tsv"


# Scores


def _case(name: str, predicted: list[int], true: list[int], labels=(2, 41)) -> CaseScore:
    return CaseScore(name, overlap(np.array([[predicted]]), np.array([[true]]), labels))


def test_structures_that_the_truth_lacks_are_left_out():
    case = _case("a", [2, 2, 0, 41], [2, 0, 0, 0])
    assert case.dice[0] == pytest.approx(2 / 3)
    assert np.isnan(case.dice[1])
    assert case.score == pytest.approx(2 / 3)


def test_score_is_the_mean_over_scans_of_their_means():
    scores = Scores((_case("a", [2, 2, 0, 0], [2, 0, 0, 0]), _case("b", [2, 0, 41, 41], [2, 0, 41, 0])))
    assert scores.cases[0].score == pytest.approx(2 / 3)
    assert scores.cases[1].score == pytest.approx((1 + 2 / 3) / 2)
    assert scores.score == pytest.approx((2 / 3 + 5 / 6) / 2)
    assert scores.dice_by_label == {2: pytest.approx((2 / 3 + 1) / 2), 41: pytest.approx(2 / 3)}


def test_nothing_to_score_is_nan():
    scores = Scores((_case("a", [2, 0], [0, 0]),))
    assert np.isnan(scores.score)
    assert all(np.isnan(dice) for dice in scores.dice_by_label.values())


def test_labels_that_are_scored(card):
    table = load_card(card).labels
    assert scored_labels(table, (0, 52, 24, 2)) == (2, 52)
    with pytest.raises(UsageError, match="no label that the model and the true label maps share"):
        scored_labels(table, (0, 24, 7))


def test_scores_are_those_of_the_segment_command(maps, card, tmp_path):
    """Through the same path as prediction: the draw as a file, segmented by the command, compared by hand."""
    torch.set_num_threads(1)
    case = FixedDraws(maps, RECIPE, count=1).scan(0)
    found = score_case(load_models(load_card(card)), case, STRUCTURES)
    image, out = tmp_path / "draw.nii.gz", tmp_path / "dseg.nii.gz"
    write_volume(image, case.scan.volume, dtype=np.float32)
    assert main(["segment", str(image), "--model", str(card), "--dseg", str(out), "--threads", "1"]) == 0
    predicted = np.asarray(nib.load(out).dataobj)
    np.testing.assert_allclose(found.counts.dice, dice_by_label(predicted, case.truth, STRUCTURES), atol=1e-3)
    assert isinstance(found.counts, Overlap)
    assert found.counts.first.sum() > 0


# Command


def _validate(folder: Path, card: Path, *words: object) -> int:
    maps = [str(path) for path in sorted((folder / "maps").iterdir())[:2]]
    synthetic = ["--maps", *maps, "--labels", folder / "list.tsv", "--draws", 3]
    every = ["validate", "--model", card, *synthetic, "--out", folder / "out", "--threads", 1, *words]
    return main([str(word) for word in every])


def test_command_writes_table_and_summary_and_records_in_the_card(folder, card, capsys):
    labelled = ["--labelled", *_labelled(folder)]
    assert _validate(folder, card, *labelled, "--cache", folder / "cache", "--record") == 0
    summary = json.loads((folder / "out" / "validation.json").read_text())
    assert summary["model"]["name"] == "tiny"
    assert summary["options"]["recipe"] == "official"
    assert list(summary["synthetic"]["cases"]) == [f"draw_0{n}_map_{n % 2 + 1}" for n in range(3)]
    assert summary["labelled"]["scans"] == 1
    assert set(summary["labelled"]["structures"]) == {"left tissue", "right tissue"}
    rows = read_tsv(folder / "out" / "validation.tsv")
    assert len(rows) == 3 * 4 + 1 * 2
    assert {row["set"] for row in rows} == {"synthetic", "labelled"}
    scores = [float(row["dice"]) for row in rows if row["case"] == "scan" and row["dice"] != "n/a"]
    assert summary["labelled"]["score"] == pytest.approx(np.mean(scores), abs=1e-4)
    recorded = yaml.safe_load(card.read_text())["training"]
    assert recorded["steps"] == 0
    assert recorded["dice"]["synthetic"]["score"] == summary["synthetic"]["score"]
    assert recorded["dice"]["labelled"]["structures"] == summary["labelled"]["structures"]
    assert load_models(load_card(card)).warnings == ()
    assert "synthetic: mean Dice" in capsys.readouterr().out
    assert len(list((folder / "cache").iterdir())) == 3


def test_recording_one_set_keeps_the_other(folder, card):
    assert _validate(folder, card, "--record") == 0
    before = yaml.safe_load(card.read_text())["training"]["dice"]
    words = ["--labelled", *_labelled(folder), "--out", folder / "out", "--threads", 1, "--record"]
    assert main([str(word) for word in ("validate", "--model", card, *words)]) == 0
    after = yaml.safe_load(card.read_text())["training"]["dice"]
    assert after["synthetic"] == before["synthetic"]
    assert set(after) == {"synthetic", "labelled"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to score the model on"),
        (("--maps", "nowhere", "--draws", "0"), "--draws: found 0"),
        (("--maps", "nowhere", "--recipe", "unofficial"), "preset 'unofficial'"),
    ],
)
def test_command_refuses_what_it_cannot_do(card, tmp_path, capsys, words, said):
    assert main(["validate", "--model", str(card), "--out", str(tmp_path / "out"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
