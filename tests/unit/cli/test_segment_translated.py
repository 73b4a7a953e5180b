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


def _translate(scan, toy, image):
    words = ("--translator", toy, "--to", "bright", "--image", image, "--sidecar", image.with_name("t.json"))
    assert main(["translate", "apply", str(scan), *map(str, words)]) == 0


def test_a_translation_that_is_there_gives_the_same_files(tmp_path, scan):
    """As the workflow does it: the translation in a job of its own, and the record as if it were one command."""
    toy = tmp_path / "toy"
    assert _segment(scan, tmp_path / "at-once", "--translate-before", toy, "--translate-to", "bright") == 0
    _translate(scan, toy, tmp_path / "t.nii.gz")
    assert _segment(scan, tmp_path / "in-turn", "--translated", tmp_path / "t.nii.gz") == 0
    for name in ("dseg.nii.gz", "dseg.json"):
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("at-once", "in-turn"))
        assert first == second, name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("sidecar", "t.json: found no record of a translation; expected what 'synthseg translate apply --sidecar'"),
        ("scan", "t.nii.gz: found a translation of another file, scan.nii.gz; expected one of"),
        ("grid", "t.nii.gz: found another grid; expected that of"),
    ],
)
def test_a_translation_of_something_else_is_refused(tmp_path, scan, capsys, change, message):
    _translate(scan, tmp_path / "toy", tmp_path / "t.nii.gz")
    if change == "sidecar":
        (tmp_path / "t.json").write_text("{}")
    elif change == "scan":
        write_nifti(scan, phantom((2.0, 2.0, 3.0), seed=1), "int16")
    else:
        write_nifti(tmp_path / "t.nii.gz", phantom((2.0, 2.0, 2.5)), "int16")
    assert _segment(scan, tmp_path / "out", "--translated", tmp_path / "t.nii.gz") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--translate-before", "toy"), "--translate-before: found it alone"),
        (("--translate-to", "bright"), "--translate-to: found it alone"),
        (("--translate-before", "toy", "--translate-to", "bright", "--ct"), "--ct: found it with --translate-before"),
        (("--translated", "t.nii.gz", "--ct"), "--ct: found it with --translated"),
        (
            ("--translated", "t.nii.gz", "--translate-before", "toy", "--translate-to", "bright"),
            "--translated: found it with --translate-before",
        ),
        (("--translate-before", "toy", "--translate-to", "t3"), "found no domain t3"),
        (("--translate-before", "none", "--translate-to", "bright"), "none: found no such file"),
    ],
)
def test_one_line_each(tmp_path, scan, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert _segment(scan, tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err
