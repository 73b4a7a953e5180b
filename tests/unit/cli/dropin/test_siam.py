"""``synthseg siam``: label maps of SIAM's names, whatever else lies in the folder and whatever is broken."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.images.volume import Volume
from tests.phantoms.nnunet import HEAD_NAMES, RESIDUAL_HEAD, TrainedFolder
from tests.phantoms.scans import reoriented, write_nifti
from tests.unit.segmentation.planned import bordered


@pytest.fixture(autouse=True)
def siam(monkeypatch, tmp_path_factory) -> None:
    """A folder that SIAM has downloaded, with another network and other weights, in a place of its own."""
    base = tmp_path_factory.mktemp("siam")
    trained = TrainedFolder(config=RESIDUAL_HEAD, patch=(16, 20, 24), labels=HEAD_NAMES)
    trained.write(base / "v0.3" / "pred_DS108_LcsfP_Ano")
    monkeypatch.setenv("SIAM_MODEL_DIR", str(base))
    monkeypatch.setenv("SYNTHSEG_MODELS", str(base / "store"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two scans of one head, one of them in another order, a broken one, and things that are no scans."""
    (tmp_path / "in").mkdir()
    write_nifti(tmp_path / "in" / "a.nii.gz", bordered())
    write_nifti(tmp_path / "in" / "b.nii", reoriented(bordered(), (2, 0, 1), (True, False, True)))
    (tmp_path / "in" / "broken.nii.gz").write_bytes(b"nothing")
    (tmp_path / "in" / "a.nii.json").write_text("{}")
    return tmp_path / "in"


def _siam(*words: object) -> int:
    return main(["siam", *map(str, words), "-device", "cpu", "-nbthread", "1"])


def _image(path: Path) -> nib.Nifti1Image:
    return nib.load(path)


def test_a_folder(folder, capsys):
    """The broken scan costs no other; a second run does that scan alone; label maps turn with the scans."""
    assert _siam("-i", folder) == 1
    first, second = folder / "siamV03_a.nii.gz", folder / "siamV03_b.nii.gz"
    said = capsys.readouterr()
    assert "2 of 3 scans segmented" in said.out
    assert "broken.nii.gz" in said.err
    assert "converted once" in said.err
    labels = np.asarray(_image(first).dataobj)
    assert labels.dtype == np.uint8
    assert len(np.unique(labels)) > 3
    turned = reoriented(Volume(labels, _image(first).affine), (2, 0, 1), (True, False, True))
    np.testing.assert_array_equal(np.asarray(_image(second).dataobj), turned.data)
    np.testing.assert_allclose(_image(second).affine, turned.affine, atol=1e-4)
    meaning = json.loads((folder / "label_siamV03_.json").read_text())
    assert meaning["labels"]["skull"] == 15
    before = {path: path.stat().st_mtime_ns for path in (first, second)}
    (folder / "broken.nii.gz").unlink()
    second.unlink()
    assert _siam("-i", folder) == 0
    assert "1 scan done already" in capsys.readouterr().err
    assert first.stat().st_mtime_ns == before[first]
    assert not list(folder.glob("*siamV03_siam*"))
    assert _siam("-i", folder) == 0  # nothing is left to do


def test_one_scan_and_its_text(folder):
    assert _siam("-i", folder / "a.nii.gz", "-o", "x_", "-m", "3") == 0
    assert (folder / "siamV03_x_a.nii.gz").is_file()
    assert (folder / "label_siamV03_x_.json").is_file()
    assert _siam("-i", folder / "a.nii.gz", "-voxelsize", "1.4") == 0
    plain, scaled = (np.asarray(_image(folder / f"siamV03_{n}a.nii.gz").dataobj) for n in ("x_", ""))
    assert not np.array_equal(plain, scaled)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["broken.nii.gz"], "broken.nii.gz: found"),
        (["none.nii.gz"], "none.nii.gz: found no such file"),
        (["a.nii.gz", "-voxelsize", "-1"], "-voxelsize: found -1"),
        (["a.nii.gz", "-m", "2"], "model siam-0.2: found no weights"),
        (["a.nii.gz", "--folds", "4"], "--folds: found 4; expected some of 0, the folds of siam-0.3"),
    ],
)
def test_what_ends_at_once(folder, capsys, words, message):
    assert _siam("-i", folder / words[0], *words[1:]) == 2
    assert message in capsys.readouterr().err


def test_a_wrong_place_for_models(folder, monkeypatch, capsys):
    monkeypatch.setenv("SIAM_MODEL_DIR", str(folder / "nothing"))
    assert _siam("-i", folder / "a.nii.gz") == 2
    assert "SIAM_MODEL_DIR: found" in capsys.readouterr().err
