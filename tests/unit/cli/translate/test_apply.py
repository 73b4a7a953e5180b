"""``synthseg translate apply``: files, bytes, and one line for everything that does not fit."""

from __future__ import annotations

import json
import sys

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.translation import matching_card, write_toy_translator


@pytest.fixture
def scan(tmp_path):
    return write_nifti(tmp_path / "scan.nii.gz", phantom((2.0, 2.0, 3.0)), "int16")


@pytest.fixture
def toy(tmp_path):
    write_toy_translator(tmp_path / "toy")
    return tmp_path / "toy"


def _apply(scan, toy, *words):
    return main(["translate", "apply", str(scan), "--translator", str(toy), "--device", "cpu", *map(str, words)])


def test_image_and_sidecar_the_same_each_time(tmp_path, scan, toy):
    for name in ("one", "two"):
        out = tmp_path / name
        words = ("--to", "bright", "--image", out / "x.nii.gz", "--sidecar", out / "x.json", "--source", "bids::scan")
        assert _apply(scan, toy, *words) == 0
    assert (tmp_path / "one" / "x.nii.gz").read_bytes() == (tmp_path / "two" / "x.nii.gz").read_bytes()
    image, original = nib.load(tmp_path / "one" / "x.nii.gz"), nib.load(scan)
    assert image.shape == original.shape
    assert image.get_data_dtype() == np.int16
    assert np.array_equal(image.affine, original.affine)
    content = json.loads((tmp_path / "one" / "x.json").read_text())
    assert content["Synthetic"] is True
    assert content["Sources"] == ["bids::scan"]
    assert content["Source"]["SHA256"]


def test_spread_over_samples(tmp_path, scan, toy):
    words = ("--from", "dark", "--samples", 2, "--image", tmp_path / "x.nii.gz", "--std", tmp_path / "s.nii.gz")
    assert _apply(scan, toy, *words) == 0
    assert nib.load(tmp_path / "s.nii.gz").get_fdata().max() == 0  # one pass draws nothing


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--to", "bright"), "found no output"),
        (("--image", "x.nii.gz"), "found no direction"),
        (("--to", "t3", "--image", "x.nii.gz"), "found no domain t3; expected dark or bright"),
        (("--to", "bright", "--image", "x.png"), "--image: found x.png"),
        (("--to", "bright", "--image", "x.nii.gz", "--std", "s.nii.gz"), "found one sample; expected two or more"),
        (("--to", "bright", "--image", "x.nii.gz", "--overlap", "90"), "overlap: found 90"),
    ],
)
def test_one_line_each(tmp_path, scan, toy, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert _apply(scan, toy, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len([line for line in error.splitlines() if "warning" not in line]) == 1
    assert not (tmp_path / "x.nii.gz").exists()


def test_a_label_map_is_refused_and_the_reason_kept(tmp_path, toy, capsys):
    labels = phantom((2.0, 2.0, 2.0))
    path = write_nifti(
        tmp_path / "seg.nii.gz", labels.__class__(labels.data.clip(0, 200) // 60, labels.affine), "uint8"
    )
    assert _apply(path, toy, "--to", "dark", "--image", tmp_path / "x.nii.gz", "--log-json", tmp_path / "r.json") == 2
    assert "as in a label map" in capsys.readouterr().err
    assert "label map" in json.loads((tmp_path / "r.json").read_text())["found"]


def test_without_monai_a_translator_of_diffusion_is_one_line(tmp_path, scan, monkeypatch, capsys):
    pytest.importorskip("einops")
    write_toy_translator(tmp_path / "toy", "diffusion")
    monkeypatch.setitem(sys.modules, "monai.networks.nets.diffusion_model_unet", None)
    assert _apply(scan, tmp_path / "toy", "--to", "dark", "--image", tmp_path / "x.nii.gz") == 2
    assert "found no package monai" in capsys.readouterr().err


def test_methods_without_networks_need_neither_weights_nor_monai(tmp_path, scan, monkeypatch):
    from synthseg_core.translation.card import write_translator

    write_translator(matching_card(tmp_path / "curve"))
    monkeypatch.setitem(sys.modules, "monai", None)
    assert _apply(scan, tmp_path / "curve", "--to", "bright", "--image", tmp_path / "x.nii.gz") == 0
