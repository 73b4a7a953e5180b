"""Every script of the tutorials runs on tiny settings, and leaves what its page says."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from synthseg_core.cli.demo.heads import write_heads
from synthseg_core.models.registry import load_card
from synthseg_core.synth import Draw, GenerationLabels
from synthseg_core.synth.priors import IntensityPriors
from synthseg_core.system.tables import read_tsv
from tests.tutorials.scripts import run

PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def maps(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    write_heads(folder, voxel_size_mm=2.0)
    return folder


@pytest.fixture(scope="module")
def trained(maps, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("training")
    run("03", "--tiny", "--maps", maps, "--out", out, "--steps", 12)
    return out / "run"


def _is_picture(path: Path) -> bool:
    return path.read_bytes().startswith(PNG)


def test_samples(tmp_path, capsys):
    run("01", "--tiny", "--out", tmp_path)
    image, labels = nib.load(tmp_path / "sample.nii.gz"), nib.load(tmp_path / "sample_dseg.nii.gz")
    assert image.shape == labels.shape == (64, 96, 64)
    np.testing.assert_array_equal(image.affine, labels.affine)
    data = image.get_fdata()
    assert 0 <= data.min() < 0.3 < data.max() <= 1
    assert set(np.unique(np.asarray(labels.dataobj))) <= set(GenerationLabels.builtin().target_values)
    assert Draw.from_json((tmp_path / "sample.json").read_text()).seed == 1
    assert "the same bits" in capsys.readouterr().out
    assert _is_picture(tmp_path / "samples" / "contact_sheet.png")


@pytest.mark.slow
def test_parameters(maps, tmp_path):
    run("02", "--tiny", "--maps", maps, "--out", tmp_path)
    table = {row["group"]: row for row in read_tsv(tmp_path / "groups.tsv")}
    moving = {name for name, row in table.items() if float(row["labels_changed"]) > 0}
    assert moving == {"deformation", "flip"}
    assert all(float(row["image_changed"]) > 0 for row in table.values())
    assert all(_is_picture(tmp_path / name) for name in ("groups.png", "presets.png"))


def test_training(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"log.tsv", "validation.tsv", "snapshot.png", "last.pt", "best.pt", "config.json", "model"} <= names
    card = load_card(trained / "model" / "card.yaml")
    assert card.training["command"].startswith("synthseg train --preset tiny")
    assert card.labels.labels == (0, 1, 2, 3, 4)


def test_prediction(trained, tmp_path, capsys):
    run("04", "--tiny", "--model", trained / "model" / "card.yaml", "--out", tmp_path)
    dseg, truth = nib.load(tmp_path / "dseg.nii.gz"), nib.load(tmp_path / "held-out" / "sub-05_dseg.nii.gz")
    assert dseg.shape == truth.shape
    dice = [float(row["dice"]) for row in read_tsv(tmp_path / "dice.tsv")]
    assert len(dice) == 4
    assert all(0 <= value <= 1 for value in dice)
    assert json.loads((tmp_path / "scores" / "validation.json").read_text())
    assert "total intracranial" in capsys.readouterr().out


@pytest.mark.slow
def test_contrast_and_resolution(maps, tmp_path, capsys):
    run("05", "--tiny", "--maps", maps, "--out", tmp_path)
    shares = [line for line in capsys.readouterr().out.splitlines() if "brighter than cortex" in line]
    assert "in 100% of" in shares[1]
    assert "in 100% of" not in shares[0]
    assert _is_picture(tmp_path / "recipes.png")
    assert load_card(tmp_path / "run" / "model" / "card.yaml").grid.voxel_size_mm == 2.0


@pytest.mark.slow
def test_priors(maps, tmp_path):
    run("06", "--tiny", "--maps", maps, "--out", tmp_path)
    found, shipped = IntensityPriors.read(tmp_path / "priors.tsv"), IntensityPriors.builtin()
    seen = [int(row["class"]) for row in read_tsv(tmp_path / "priors.tsv") if row["scans"] == "4"]
    pairs = np.array([(found.means[0][number][0], shipped.means[0][number][0]) for number in seen])
    assert len(pairs) > 10
    assert np.corrcoef(pairs.T)[0, 1] > 0.9
    assert len({row["scan"] for row in read_tsv(tmp_path / "scans.tsv")}) == 4
    assert _is_picture(tmp_path / "samples" / "contact_sheet.png")


@pytest.mark.slow
def test_partial_volume(maps, tmp_path, capsys):
    run("07", "--tiny", "--maps", maps, "--out", tmp_path)
    lines = [line for line in capsys.readouterr().out.splitlines() if "are mixed" in line]
    shares = [int(line.split(": ")[1].split("%")[0]) for line in lines]
    assert shares == sorted(shares)
    assert shares[0] < 10 < 25 < shares[-1]
    assert _is_picture(tmp_path / "slices.png")
    assert len(load_card(tmp_path / "run" / "model" / "card.yaml").labels) == 33


@pytest.mark.slow
def test_own_labels(maps, tmp_path, capfd):
    pytest.importorskip("sklearn")
    run("08", "--tiny", "--maps", maps, "--out", tmp_path)
    said = capfd.readouterr()
    assert "no table knows 2 labels (7001, 7002)" in said.err
    assert "found left label 4 (left lateral-ventricle) without its counterpart" in said.err
    first, labels, filled = (GenerationLabels.read(tmp_path / f"{name}.tsv") for name in ("first", "labels", "filled"))
    assert first.swap_index[first.values.index(7001)] == first.values.index(7001)
    assert labels.swap_index[labels.values.index(7001)] == labels.values.index(7002)
    assert set(filled.values) - set(labels.values) == {901, 902, 903, 904}
    assert filled.target_values == labels.target_values == (0, 4, 17, 43, 53, 7001, 7002)
    assert _is_picture(tmp_path / "samples" / "contact_sheet.png")


@pytest.mark.slow
def test_quality(tmp_path):
    run("10", "--tiny", "--out", tmp_path)
    rows = read_tsv(tmp_path / "qc.tsv")
    assert len(rows) == 4
    assert all(0 <= float(row["score"]) <= 1 for row in rows)
    card = load_card(tmp_path / "scores" / "model" / "card.yaml")
    assert card.training["quality"]["synthetic"]["pairs"] == 2
    assert _is_picture(tmp_path / "scores" / "snapshot.png")
    assert len(list((tmp_path / "scores" / "pairs").rglob("*.npz"))) == 2 + 2


@pytest.mark.slow
def test_robust_chain(maps, tmp_path, capsys):
    run("09", "--tiny", "--maps", maps, "--out", tmp_path, "--steps", 3)
    assert "denoiser: 5 channels in, 5 out" in capsys.readouterr().out
    assert nib.load(tmp_path / "dseg.nii.gz").shape
    assert _is_picture(tmp_path / "denoiser" / "snapshot.png")


@pytest.mark.slow
def test_parcels(tmp_path, capsys):
    run("11", "--tiny", "--out", tmp_path, "--steps", 3)
    said = capsys.readouterr().out
    assert "output_parcels: 7 targets, 1011 to 2029" in said
    assert "ctx-lh-superiorfrontal" in said
    assert load_card(tmp_path / "both" / "card.yaml").companions == {"parcellation": "parcellation/card.yaml"}


@pytest.mark.slow
def test_real_scans(maps, tmp_path):
    run("12", "--tiny", "--maps", maps, "--out", tmp_path, "--steps", 3)
    assert (tmp_path / "comparison" / "evaluation.html").is_file()
    assert {row["model"] for row in read_tsv(tmp_path / "comparison" / "summary.tsv")} == {"real", "mixed"}
