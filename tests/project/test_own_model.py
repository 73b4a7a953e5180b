"""The worked example of a user's own model in ``docs/examples/own-model``."""

from __future__ import annotations

import runpy
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import build_parser, main
from synthseg_core.models.card import GridSpec, InferenceSpec, IntensitySpec, ModelCard, WeightsFile
from synthseg_core.networks.config import UNetConfig
from tests.pages import ROOT, SPAN, blocks, rows
from tests.phantoms.scans import phantom, write_nifti

EXAMPLE = ROOT / "docs" / "examples" / "own-model"
PAGE = (EXAMPLE / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def own_model(tmp_path_factory) -> Path:
    """A copy of the example, with its weights."""
    folder = tmp_path_factory.mktemp("copy") / "own-model"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    runpy.run_path(str(folder / "make_weights.py"))
    return folder


def _segment(own_model: Path, folder: Path, name: str, *options: str) -> Path:
    out, scan = folder / f"{name}.nii.gz", write_nifti(folder / "scan.nii.gz", phantom((1.5, 2.0, 3.0), (30, 33, 17)))
    card = str(own_model / "four-classes.yaml")
    assert main(["segment", str(scan), "--model", card, "--dseg", str(out), "--threads", "1", *options]) == 0
    return out


def test_own_model_segments_into_its_four_classes(own_model, tmp_path):
    volumes = tmp_path / "volumes.tsv"
    found = nib.load(_segment(own_model, tmp_path, "dseg", "--volumes", str(volumes)))
    assert found.shape == (30, 33, 17)
    assert set(np.unique(np.asarray(found.dataobj))) == {0, 10, 20, 30}
    names = [line.split("\t")[1] for line in volumes.read_text().splitlines()[1:]]
    assert names == ["total intracranial", "left hemisphere", "right hemisphere", "hindbrain"]


def test_own_model_is_verified_and_works_from_keras_too(own_model, tmp_path, capsys):
    card = str(own_model / "four-classes.yaml")
    assert main(["models", "verify", card]) == 0
    assert main(["models", "convert", card, str(tmp_path / "keras" / "four-classes.h5")]) == 0
    capsys.readouterr()
    first = _segment(own_model, tmp_path, "first")
    second = _segment(own_model, tmp_path, "second", "--weights", str(tmp_path / "keras"))
    assert first.read_bytes() == second.read_bytes()


def test_every_key_of_a_card_is_explained():
    explained = {span for row in rows(PAGE) for span in SPAN.findall(row[0])}
    parts = {"grid": GridSpec, "intensity": IntensitySpec, "inference": InferenceSpec, "weights": WeightsFile}
    plain = {f.name for f in fields(ModelCard)} - {"labels", "source", *parts} | {"label_table"}
    nested = {(part, f.name) for part, kind in parts.items() for f in fields(kind)}
    networks = {f.name for f in fields(UNetConfig)} | {"role", "architecture", "prefix"}
    assert plain <= explained
    missing = {(part, key) for part, key in nested if not {f"{part}.{key}", key} & explained}
    assert not missing
    assert all({f"networks[].{key}", key} & explained for key in networks)


def test_commands_of_the_page_can_be_typed_as_they_stand():
    lines = [shlex.split(line) for block in blocks(PAGE, "bash") for line in block.splitlines()]
    assert [words[:2] for words in lines[1:]] == [["synthseg", "models"], ["synthseg", "segment"]]
    for words in lines[1:]:
        build_parser(words[1]).parse_args(words[1:])
