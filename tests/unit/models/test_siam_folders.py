"""Model folders of SIAM's own program are found where it looks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthseg_core.errors import InputError
from synthseg_core.models.registry import load_card
from synthseg_core.models.siam_folders import siam_folder


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for name in ("SIAM_MODEL_DIR", "nnUNet_results"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SYNTHSEG_MODELS", str(tmp_path / "store"))


def _model(folder: Path) -> Path:
    (folder / "fold_0").mkdir(parents=True)
    (folder / "fold_0" / "checkpoint_final.pth").touch()
    (folder / "plans.json").touch()
    return folder


@pytest.mark.parametrize("variable", ["SIAM_MODEL_DIR", "nnUNet_results", None])
def test_places(tmp_path, monkeypatch, variable):
    base = tmp_path / "named" if variable else tmp_path / "home" / "siam_params"
    folder = _model(base / "v0.3" / "pred_DS108_LcsfP_Ano")
    if variable:
        monkeypatch.setenv(variable, str(base))
    assert siam_folder(load_card("siam-0.3")) == folder
    assert siam_folder(load_card("siam-0.2")) is None
    old = _model(base / "v0.1")
    assert siam_folder(load_card("siam-0.1")) == old
    assert siam_folder(load_card("tiny-random")) is None


def test_a_folder_without_its_first_fold_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("SIAM_MODEL_DIR", str(tmp_path))
    folder = _model(tmp_path / "v0.3" / "pred_DS108_LcsfP_Ano")
    (folder / "fold_0" / "checkpoint_final.pth").unlink()
    assert siam_folder(load_card("siam-0.3")) is None


def test_the_variable_must_name_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIAM_MODEL_DIR", str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="SIAM_MODEL_DIR: found .*nothing; expected a folder"):
        siam_folder(load_card("siam-0.3"))
