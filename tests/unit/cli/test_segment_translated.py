"""``synthseg segment --translate-before``: what is segmented is the translation; files lie on the scan and say so."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.translation.card import write_translator
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.translation import matching_card


@pytest.fixture
def scan(tmp_path):
    write_translator(matching_card(tmp_path / "toy"))
    return write_nifti(tmp_path / "scan.nii.gz", phantom((2.0, 2.0, 3.0)), "int16")


def _segment(scan, out, *words):
    fixed = ("--model", "tiny-random", "--device", "cpu", "--dseg", out / "dseg.nii.gz", "--sidecar", out / "dseg.json")
    return main(["segment", str(scan), *map(str, (*fixed, *words))])


def test_the_same_as_translating_first(tmp_path, scan, capsys):
    toy = tmp_path / "toy"
    words = ("--translate-before", toy, "--translate-to", "bright")
    assert _segment(scan, tmp_path / "at-once", *words) == 0
    assert "segmented was its translation to bright by toy, not the scan itself" in capsys.readouterr().err
    image = tmp_path / "translated.nii.gz"
    assert (
        main(["translate", "apply", str(scan), "--translator", str(toy), "--to", "bright", "--image", str(image)]) == 0
    )
    assert _segment(image, tmp_path / "in-turn") == 0
    first, second = (nib.load(tmp_path / name / "dseg.nii.gz") for name in ("at-once", "in-turn"))
    assert np.array_equal(np.asarray(first.dataobj), np.asarray(second.dataobj))
    assert np.array_equal(first.affine, nib.load(scan).affine)
    content = json.loads((tmp_path / "at-once" / "dseg.json").read_text())
    assert (content["Translation"]["From"], content["Translation"]["To"]) == ("dark", "bright")
    assert content["Source"]["File"] == "scan.nii.gz"
    assert "Translation" not in json.loads((tmp_path / "in-turn" / "dseg.json").read_text())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--translate-before", "toy"), "--translate-before: found it alone"),
        (("--translate-to", "bright"), "--translate-to: found it alone"),
        (("--translate-before", "toy", "--translate-to", "bright", "--ct"), "--ct: found it with --translate-before"),
        (("--translate-before", "toy", "--translate-to", "t3"), "found no domain t3"),
        (("--translate-before", "none", "--translate-to", "bright"), "none: found no such file"),
    ],
)
def test_one_line_each(tmp_path, scan, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert _segment(scan, tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err
