"""Models of folds from the command line: import, segment, and what they cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from synthseg_core.cli.main import main
from synthseg_core.models.registry import load_card, registered_models
from synthseg_core.networks.config import NnUNetConfig
from synthseg_core.system.tables import read_tsv
from tests.phantoms.nnunet import HEAD_NAMES, RESIDUAL_HEAD, TrainedFolder
from tests.phantoms.scans import write_nifti
from tests.unit.segmentation.planned import bordered

TRAINED = TrainedFolder(folds=("0", "3"), patch=(16, 20, 24))


@pytest.fixture(autouse=True)
def store(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("SYNTHSEG_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def scan(tmp_path) -> Path:
    return write_nifti(tmp_path / "scan.nii.gz", bordered())


def _segment(scan: Path, model: str, name: str, *words: str) -> Path:
    out = scan.with_name(f"{name}.nii.gz")
    status = main(["segment", str(scan), "--model", model, "--dseg", str(out), "--threads", "1", *words])
    assert status == 0
    return out


def _labels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_a_folder_becomes_a_model_with_a_name(tmp_path, scan, store, capsys):
    folder = TRAINED.write(tmp_path / "Tissue")
    assert main(["models", "import", str(folder)]) == 0
    assert "2 folds written to" in (said := capsys.readouterr().out)
    assert "use it as --model Tissue" in said
    assert main(["models", "verify", "Tissue"]) == 0
    assert main(["models", "list"]) == 0
    assert "Tissue" in capsys.readouterr().out
    all_folds, one = _segment(scan, "Tissue", "all"), _segment(scan, "Tissue", "one", "--folds", "3")
    assert set(np.unique(_labels(all_folds))) <= {0, 1, 2, 3}
    assert not np.array_equal(_labels(all_folds), _labels(one))
    assert nib.load(all_folds).shape == nib.load(scan).shape
    card = _segment(scan, str(store / "Tissue.yaml"), "by-path")
    assert card.read_bytes() == all_folds.read_bytes()


def test_somewhere_else_under_another_name(tmp_path, capsys):
    folder = TRAINED.write(tmp_path / "Tissue")
    words = ["--name", "mine", "--folds", "3", "--orientation", "RAS", "--to", str(tmp_path / "mine")]
    assert main(["models", "import", str(folder), *words]) == 0
    assert f"use it as --model {tmp_path / 'mine' / 'mine.yaml'}" in capsys.readouterr().out
    card = load_card(tmp_path / "mine" / "mine.yaml")
    assert card.plan is not None
    assert (card.plan.orientation, len(card.networks)) == ("RAS", 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", "synthseg-2.0"], "'synthseg-2.0', a model of this package"),
        (["--name", "a/b"], "found 'a/b'; expected a name of its own"),
        (["--name", "default"], "found 'default'"),
        (["--folds", "1"], "no fold 1; expected some of 0, 3"),
        (["--model", "siam-0.3"], "a folder with 4 labels; expected the 18 of siam-0.3"),
        (["--link"], "--link: found an nnU-Net"),
    ],
)
def test_imports_that_are_refused(tmp_path, store, capsys, words, message):
    assert main(["models", "import", str(TRAINED.write(tmp_path / "Tissue")), *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(store.glob("*.yaml"))


def test_options_of_another_kind_of_folder(tmp_path, capsys):
    assert main(["models", "import", str(tmp_path), "--name", "x", "--folds", "0"]) == 2
    assert f"--name, --folds: found no plans.json in {tmp_path}" in capsys.readouterr().err


def test_the_folder_of_siam_is_known_by_its_name(tmp_path, scan):
    """Its card has title, meaning and sum of the registered one, and the network of the folder."""
    folder = TrainedFolder(config=RESIDUAL_HEAD, patch=(16, 20, 24), labels=HEAD_NAMES).write(
        tmp_path / "pred_DS108_LcsfP_Ano"
    )
    assert main(["models", "import", str(folder)]) == 0
    registered = yaml.safe_load(registered_models()["siam-0.3"].read_text())
    card = load_card("siam-0.3")
    assert card.title == registered["title"]
    assert card.labels.names[15] == "skull"
    assert card.plan is not None
    assert (card.plan.orientation, card.plan.patch_voxels) == ("RAS", (16, 20, 24))
    assert card.networks[0].config == RESIDUAL_HEAD
    volumes, sidecar, mask = (scan.with_name(name) for name in ("v.tsv", "s.json", "mask.nii.gz"))
    words = ["--volumes", str(volumes), "--sidecar", str(sidecar), "--mask", str(mask)]
    labels = _labels(_segment(scan, "siam-0.3", "head", *words, "--voxel-scale", "1.2"))
    rows = {row["name"]: row for row in read_tsv(volumes, ("name", "hard_volume_mm3"))}
    voxel = 1.3 * 0.9 * 1.1
    inside = (labels >= 1) & (labels <= 12)
    assert float(rows["total intracranial"]["hard_volume_mm3"]) == pytest.approx(inside.sum() * voxel, abs=1e-2)
    np.testing.assert_array_equal(_labels(mask), inside)
    content = json.loads(sidecar.read_text())
    assert content["Options"]["VoxelScale"] == 1.2
    assert "sum of grey matter, white matter" in content["Volumes"]
    assert "skull" not in content["Volumes"]


def test_cards_of_siam():
    """Tables by version: 10 and 11 change places after the first."""
    cards = {version: load_card(f"siam-{version}") for version in ("0.1", "0.2", "0.3")}
    assert {version: len(card.labels) for version, card in cards.items()} == {"0.1": 40, "0.2": 17, "0.3": 18}
    names = {version: card.labels.names for version, card in cards.items()}
    assert names["0.1"][10:12] == ("amygdala", "accumbens")
    assert names["0.2"][10:12] == names["0.3"][10:12] == ("accumbens", "amygdala")
    assert names["0.2"] == names["0.3"][:17]
    for card in cards.values():
        config = card.networks[0].config
        assert isinstance(config, NnUNetConfig)
        assert [spec.prefix for spec in card.networks] == [f"fold_{number}" for number in range(5)]
        assert card.weights.archive is not None
        assert not {"skull", "vessels", "anomalies"} & {
            card.labels.names[card.labels.channel_of(label)] for label in card.total_labels
        }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "siam-0.3", "--crop", "32"], "a request for --crop; expected options of models of family nnunet"),
        (["--model", "siam-0.3", "--folds", "9"], "--folds: found 9; expected some of 0, 1, 2, 3, 4"),
        (["--model", "siam-0.3", "--voxel-scale", "0"], "--voxel-scale: found 0; expected 0.1 to 10"),
        (["--model", "tiny-random", "--mode", "float32"], "a request for --mode; expected options of models of family"),
        (["--model", "tiny-random", "--skip-resampling"], "a request for --skip-resampling"),
        (["--model", "siam-0.3"], "no weights in .*run 'synthseg models fetch siam-0.3'"),
    ],
)
def test_requests_that_a_model_cannot_meet(scan, capsys, words, message):
    import re

    assert main(["segment", str(scan), "--dseg", str(scan.with_name("d.nii.gz")), *words]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_conversion_to_keras_is_refused(tmp_path, capsys):
    main(["models", "import", str(TRAINED.write(tmp_path / "Tissue"))])
    assert main(["models", "convert", "Tissue", str(tmp_path / "x.h5")]) == 2
    assert "Keras files hold networks of SynthSeg" in capsys.readouterr().err
    assert main(["models", "convert", "Tissue", str(tmp_path / "x.safetensors")]) == 0
