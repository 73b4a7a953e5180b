"""What both drop-in commands do to one scan."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthseg_core.cli.dropin import one_scan
from synthseg_core.cli.main import main
from tests.phantoms.scans import phantom, write_nifti
from tests.unit.cli.fake_segmenter import FakeSegmenter


@pytest.fixture
def segmenter(monkeypatch) -> FakeSegmenter:
    return FakeSegmenter(monkeypatch)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Folder with three scans, the second one broken."""
    folder = tmp_path / "in"
    write_nifti(folder / "a.nii.gz", phantom(seed=1))
    (folder / "b_broken.nii.gz").write_bytes(b"")
    write_nifti(folder / "c_coarse.nii", phantom(seed=2))
    return folder


def predict(*arguments: object) -> int:
    return main(["predict", *map(str, arguments)])


def rows(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_bytes().decode().split("\r\n")[:-1]]


def test_columns_are_known_before_any_result(segmenter, study, tmp_path):
    predict("--i", study / "a.nii.gz", "--o", tmp_path, "--vol", tmp_path / "v", "--parc")
    columns = rows(tmp_path / "v.csv")[0]
    assert len(columns) == 102
    assert columns[-1] == "ctx-rh-insula"
    flags, _ = segmenter.loaded[-1]
    assert one_scan.quality_columns(flags) == (
        "general white matter",
        "general grey matter",
        "general csf",
        "cerebellum",
        "brainstem",
        "thalamus",
        "putamen+pallidum",
        "hippocampus+amygdala",
    )
