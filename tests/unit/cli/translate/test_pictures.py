"""``synthseg translate pictures``: folders, labelled datasets of nnU-Net and files of tiles in the other contrast."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.translation.card import Domain, TranslatorCard, write_translator
from synthseg_core.translation.matching import GreyValues
from synthseg_core.translation.pictures import picture_shape, read_picture
from synthseg_core.translation.tile_files import Original, write_tiles
from tests.phantoms.pictures import cells, nnunet_folder, save


def _card(folder, spacing_mm=None, plane="picture", name="translator.yaml"):
    """A translator without networks: mean and spread of the target."""
    bright, dark = GreyValues((-1.0, 1.0), -0.2, 0.4), GreyValues((-1.0, 1.0), 0.3, 0.2)
    domains = (Domain("SEM", 0.0, 255.0, bright), Domain("TEM", 0.0, 255.0, dark))
    card = TranslatorCard("toy", "affine", domains, plane, spacing_mm, folder / name)
    return write_translator(card).source


def _run(*words):
    return main([str(word) for word in ("translate", "pictures", *words)])


def test_a_labelled_dataset_of_nnunet(tmp_path, capsys):
    source, card = nnunet_folder(tmp_path / "Dataset001_SEM"), _card(tmp_path)
    assert _run(source, "--translator", card, "--to", "TEM", "--out", tmp_path / "raw", "--dataset-id", 33) == 0
    out = tmp_path / "raw" / "Dataset033_SYNTH_TEM_from_SEM"
    names = sorted(path.name for path in (out / "labelsTr").iterdir())
    assert names == ["SYNTH_TEM_000.png", "SYNTH_TEM_001.png", "SYNTH_TEM_002.png"]
    assert (out / "labelsTr" / names[2]).read_bytes() == (source / "labelsTr" / "case2.png").read_bytes()
    before = read_picture(source / "imagesTr" / "case2_0000.png").astype(float)
    after = read_picture(out / "imagesTr" / "SYNTH_TEM_002_0000.png").astype(float)
    assert after.shape == before.shape
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.99
    assert after.mean() == pytest.approx(127.5 * 1.3 + (before.mean() / 127.5 - 0.8) * 63.75, abs=1.5)
    printed = capsys.readouterr().out
    assert "nnUNetv2_train 33 2d 0" in printed
    assert f"export nnUNet_raw={tmp_path / 'raw'}" in printed


def test_the_scale_is_undone_and_labels_may_be_listed(tmp_path):
    source, card = nnunet_folder(tmp_path / "in"), _card(tmp_path, spacing_mm=2e-4)
    words = ("--translator", card.parent, "--from", "SEM", "--out", tmp_path / "raw", "--pixel-size", 0.1)
    assert _run(source, *words, "--labels", "background=0", "wall=1", "lumen=2") == 0
    out = tmp_path / "raw" / "Dataset500_SYNTH_TEM_from_SEM"
    assert picture_shape(out / "imagesTr" / "SYNTH_TEM_001_0000.png") == (43, 53)
    assert json.loads((out / "dataset.json").read_text())["labels"] == {"background": 0, "wall": 1, "lumen": 2}


def test_a_folder_keeps_its_names(tmp_path):
    save(tmp_path / "in" / "a" / "slide.tif", cells(dark=True)[0])
    save(tmp_path / "in" / "derivatives" / "slide.tif", cells()[1])
    card = _card(tmp_path)
    assert _run(tmp_path / "in", "--translator", card, "--to", "SEM", "--out", tmp_path / "out") == 0
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")) == [
        *("a/slide.tif", "originals.json"),
    ]
    assert picture_shape(tmp_path / "out" / "a" / "slide.tif") == (48, 64)
    single = tmp_path / "in" / "a" / "slide.tif"
    assert _run(single, "--translator", card, "--to", "SEM", "--out", tmp_path / "one") == 0
    assert (tmp_path / "one" / "slide.tif").read_bytes() == (tmp_path / "out" / "a" / "slide.tif").read_bytes()


def test_a_file_of_tiles_comes_back_in_the_size_of_the_originals(tmp_path):
    original = save(tmp_path / "whole.png", cells((60, 80))[0])
    half = cells((30, 40))[0]
    path = tmp_path / "data_SEM.hdf5"
    write_tiles(path, "SEM", [Original(str(original), half), Original("/gone/x.png", half)], 16)
    assert _run(path, "--translator", _card(tmp_path), "--to", "TEM", "--out", tmp_path / "out") == 0
    assert picture_shape(tmp_path / "out" / "000_whole.png") == (60, 80)
    assert picture_shape(tmp_path / "out" / "001_x.png") == (30, 40)
    assert json.loads((tmp_path / "out" / "originals.json").read_text())["001_x.png"] == "/gone/x.png"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "LM"], "no domain LM"),
        ([], "no direction"),
        (["--to", "TEM", "--labels", "axon"], "--labels: found axon; expected NAME=VALUE"),
        (["--to", "TEM", "--labels", "axon=1"], "labels: found axon=1; expected background=0"),
        (["--to", "TEM", "--labels", "background=0", "axon=1"], "found the values 2; expected only 0, 1"),
        (["--to", "TEM", "--dataset-id", "0"], "dataset number: found 0"),
    ],
)
def test_refusals(tmp_path, capsys, words, message):
    source = nnunet_folder(tmp_path / "in")
    assert _run(source, "--translator", _card(tmp_path), "--out", tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_translators_of_slices_and_sizes_that_are_not_known(tmp_path, capsys):
    source: Path = nnunet_folder(tmp_path / "in")
    slices = _card(tmp_path, 1.0, "axial")
    assert _run(source, "--translator", slices, "--to", "TEM", "--out", tmp_path / "out") == 2
    assert "found a translator of axial slices; expected one of pictures" in capsys.readouterr().err
    fine = _card(tmp_path, 1e-4, name="fine.yaml")
    assert _run(source, "--translator", fine, "--to", "TEM", "--out", tmp_path / "out") == 2
    assert "case0_0000.png: found no size of its pixels" in capsys.readouterr().err
    assert _run(source / "labelsTr", "--translator", fine, "--to", "TEM", "--out", tmp_path, "--labels", "a=0") == 2
    assert "expected a dataset of nnU-Net; leave out --labels" in capsys.readouterr().err


def test_from_folders_to_a_dataset_of_nnunet(tmp_path):
    source = nnunet_folder(tmp_path / "Dataset001_SEM", 4)
    for number in range(4):
        save(tmp_path / "TEM" / f"rat{number}.tif", cells((70, 90), 9 + number, dark=True)[0])
    words = ["--domain", "SEM", source, "--domain", "TEM", tmp_path / "TEM", "--out", tmp_path / "data"]
    assert main([str(word) for word in ("translate", "dataset", "--pictures", *words)]) == 0
    words = ["--dataset", tmp_path / "data", "--out", tmp_path / "run", "--preset", "tiny", "--method", "cycle"]
    assert main([str(word) for word in ("translate", "train", *words, "--steps", 2, "--no-preview")]) == 0
    words = ("--translator", tmp_path / "run" / "translator", "--to", "TEM", "--tile", 32, "--device", "cpu")
    results: list[dict[str, bytes]] = []
    for out in ("one", "two"):
        assert _run(source, *words, "--out", tmp_path / out) == 0
        results.append({path.name: path.read_bytes() for path in sorted((tmp_path / out).rglob("*.png"))})
    assert results[0] == results[1]
    assert len(results[0]) == 8
    made = tmp_path / "one" / "Dataset500_SYNTH_TEM_from_SEM"
    assert picture_shape(made / "imagesTr" / "SYNTH_TEM_003_0000.png") == (49, 55)
