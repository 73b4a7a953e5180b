"""Options that several commands share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthseg_core.cli.main import main
from synthseg_core.cli.options import crop_of
from synthseg_core.errors import UsageError
from tests.phantoms.models import TINY
from tests.phantoms.scans import phantom, reoriented, write_nifti

VOXEL_SIZE, SHAPE = (1.1, 0.8, 2.4), (19, 26, 11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def card(folder) -> Path:
    return TINY.write(folder)


@pytest.fixture
def scan(tmp_path) -> Path:
    volume = reoriented(phantom(VOXEL_SIZE, SHAPE), (1, 2, 0), (True, False, True))
    return write_nifti(tmp_path / "scans" / "sub-01_T1w.nii.gz", volume)


@pytest.fixture
def segment(card, capsys):
    """Run the command with the tiny model and return its status and what it wrote to stderr."""

    def run(*words, model: Path | str | None = card) -> tuple[int, str]:
        chosen = [] if model is None else ["--model", str(model)]
        status = main(["segment", *map(str, words), *chosen])
        streams = capsys.readouterr()
        assert streams.out == ""
        return status, streams.err

    return run


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.exists() else {}


def test_crop_of_one_number_is_a_cube():
    assert crop_of([160]) == (160, 160, 160)
    assert crop_of([160, 192, 128]) == (160, 192, 128)
    assert crop_of(None) is None


@pytest.fixture
def failing(segment, scan, tmp_path):
    """Run the command, which must fail with one line, the same reason as a record, and no output left behind."""

    def run(*words, scan=scan, model="") -> dict[str, str]:
        log, out = tmp_path / "log" / "reason.json", tmp_path / "out"
        chosen = {"model": model} if model != "" else {}
        status, said = segment(scan, *words, "--log-json", log, **chosen)
        assert status == 2
        (line,) = said.splitlines()
        (record_line,) = log.read_text().splitlines()
        record = json.loads(record_line)
        assert list(record) == ["error", "subject", "found", "expected", "remedy"]
        assert all(record.values())
        text = f"{record['subject']}: found {record['found']}; expected {record['expected']}; {record['remedy']}"
        assert line == f"synthseg segment: error: {' '.join(text.split())}"
        assert _files(out) == {}
        return record

    return run


@pytest.mark.parametrize("crop", [[1, 2], [0], [-5], [16, 16, 0], [1, 2, 3, 4]])
def test_crop_of_other_numbers(failing, tmp_path, crop):
    record = failing("--dseg", tmp_path / "out" / "d.nii.gz", "--crop", *crop)
    assert record["subject"] == "--crop"
    assert record["found"] == " ".join(map(str, crop))
    with pytest.raises(UsageError, match="--crop: found .*; expected 1 or 3 positive numbers"):
        crop_of(crop)
