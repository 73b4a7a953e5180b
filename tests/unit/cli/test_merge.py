"""``synthseg merge`` over two small models."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.images.volume import Volume
from synthseg_core.models.nnunet_import import import_nnunet
from synthseg_core.system.tables import read_tsv
from tests.phantoms.nnunet import TrainedFolder
from tests.phantoms.scans import write_nifti
from tests.unit.segmentation.planned import bordered


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """A scan, its segmentation, and a head model."""
    volume = bordered()
    brain = np.zeros(volume.shape)
    brain[8:12, 9:15, 6:10] = 2
    card = import_nnunet(TrainedFolder(patch=(16, 20, 24)).write(tmp_path / "tissue"), tmp_path, orientation="RAS")
    return {
        "scan": write_nifti(tmp_path / "scan.nii.gz", volume),
        "segmentation": write_nifti(tmp_path / "seg.nii.gz", Volume(brain, volume.affine)),
        "card": card,
    }


def _merge(files: dict[str, Path], *words: str) -> int:
    given = [str(files["scan"]), "--segmentation", str(files["segmentation"]), "--merge-head", str(files["card"])]
    return main(["merge", *given, "--model", "tiny-random", "--threads", "1", "--device", "cpu", *words])


def test_label_map_table_colours_and_sidecar(files, tmp_path):
    out = {
        name: tmp_path / f"out{ending}" for name, ending in (("dseg", ".nii.gz"), ("labels", ".tsv"), ("lut", ".txt"))
    }
    out["sidecar"] = tmp_path / "out.json"
    assert _merge(files, *(word for name, path in out.items() for word in (f"--{name}", str(path)))) == 0
    alone = tmp_path / "alone.nii.gz"
    words = ["segment", str(files["scan"]), "--model", str(files["card"]), "--dseg", str(alone), "--threads", "1"]
    assert main(words) == 0
    merged, brain, head = (
        np.asarray(nib.load(path).dataobj).astype(int) for path in (out["dseg"], files["segmentation"], alone)
    )
    np.testing.assert_array_equal(merged[brain > 0], 2)
    outside = brain == 0
    np.testing.assert_array_equal(merged[outside], np.where(head > 0, head + 600, 0)[outside])
    rows = {int(row["index"]): row["name"] for row in read_tsv(out["labels"], ("index", "name"))}
    assert {2: "left cerebral white matter", 601: "head: inner"}.items() <= rows.items()
    assert set(np.unique(merged)) <= {*rows, 0}
    assert "601" in out["lut"].read_text()
    sidecar = json.loads(out["sidecar"].read_text())
    assert sidecar["Sources"] == ["scan.nii.gz", "seg.nii.gz"]
    assert sidecar["HeadOffset"] == 600
    assert sidecar["Model"]["Name"] == "tissue"
    assert len(sidecar["Segmentation"]["SHA256"]) == 64


def test_what_is_refused(files, tmp_path, capsys):
    assert _merge(files) == 2
    assert "no output" in capsys.readouterr().err
    assert _merge(files, "--dseg", str(files["segmentation"])) == 2
    assert "which is the segmentation too" in capsys.readouterr().err
    files["segmentation"] = write_nifti(tmp_path / "small.nii.gz", Volume(np.ones((3, 4, 5)), np.eye(4)))
    log = tmp_path / "log.json"
    assert _merge(files, "--dseg", str(tmp_path / "x.nii.gz"), "--log-json", str(log)) == 2
    assert "the scan's own grid" in json.loads(log.read_text())["expected"]
    assert not (tmp_path / "x.nii.gz").exists()
