"""``synthseg segment`` and ``synthseg resample``: brain mask, posteriors and scan at 1 mm, and their sidecars."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.errors import OutputError
from synthseg_core.images import checks
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_channels, write_volume
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation.conform import scan_at
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions
from synthseg_core.system.file_identity import sha256_of
from tests.phantoms.models import COARSE, FINER, TINY
from tests.phantoms.scans import phantom, reoriented, write_nifti

VOXEL_SIZE, SHAPE = (1.1, 0.8, 2.4), (19, 26, 11)
FILES = {
    "dseg": "dseg.nii.gz",
    "dseg-1mm": "dseg1.nii.gz",
    "mask": "mask.nii.gz",
    "mask-sidecar": "mask.json",
    "posteriors-1mm": "probseg.nii.gz",
    "posteriors-sidecar": "probseg.json",
    "volumes": "volumes.tsv",
}


@pytest.fixture(autouse=True)
def small_heads(monkeypatch):
    monkeypatch.setattr(checks, "SMALL_EXTENT_MM", 1.0)


@pytest.fixture
def scan(tmp_path) -> Path:
    volume = reoriented(phantom(VOXEL_SIZE, SHAPE), (1, 2, 0), (True, False, True))
    return write_nifti(tmp_path / "scans" / "sub-01_T1w.nii.gz", volume)


@pytest.fixture
def made(scan, tmp_path):
    """Run the command with a model and return the folder of its outputs."""

    def run(model=FINER, *words, only=tuple(FILES)) -> Path:
        card, out = model.write(tmp_path / "models"), tmp_path / f"out-{model.name}"
        flags = [word for name in only for word in (f"--{name}", str(out / FILES[name]))]
        command = ["segment", str(scan), "--model", str(card), "--threads", "1", *flags, *map(str, words)]
        assert main(command) == 0
        return out

    return run


def image(path: Path) -> Volume:
    loaded = nib.load(path)
    return Volume(np.asarray(loaded.dataobj), loaded.affine)


def test_mask_is_where_any_structure_is(made, scan):
    out = made()
    labels, mask = image(out / "dseg.nii.gz"), image(out / "mask.nii.gz")
    assert mask.data.dtype == np.uint8
    assert mask.data.shape == nib.load(scan).shape
    np.testing.assert_array_equal(mask.data, labels.data != 0)
    assert 0 < mask.data.mean() < 1
    np.testing.assert_allclose(mask.affine, nib.load(scan).affine, atol=1e-6)


def test_mask_alone_is_the_same(made):
    both, alone = made(), made(replace(FINER, name="again"), only=("mask",))
    assert [path.name for path in alone.iterdir()] == ["mask.nii.gz"]
    assert (alone / "mask.nii.gz").read_bytes() == (both / "mask.nii.gz").read_bytes()


@pytest.mark.parametrize("model", [TINY, COARSE, FINER], ids=lambda model: model.name)
def test_posteriors_lie_on_the_label_map_at_1_mm(made, model):
    """Also of a model that works at 2 mm; their argmax is the label map."""
    out = made(model)
    labels, posteriors = image(out / "dseg1.nii.gz"), image(out / "probseg.nii.gz")
    assert posteriors.data.dtype == np.float32
    assert posteriors.data.shape == (*labels.data.shape, 4)
    np.testing.assert_array_equal(posteriors.affine, labels.affine)
    np.testing.assert_allclose(posteriors.data.sum(axis=-1), 1, atol=1e-5)
    values = np.array(load_card(out.parent / "models" / f"{model.name}.yaml").labels.labels)
    np.testing.assert_array_equal(values[posteriors.data.argmax(axis=-1)], labels.data)


def test_posteriors_outside_a_crop_are_background(made):
    posteriors = image(made(FINER, "--crop", 8) / "probseg.nii.gz")
    assert tuple(posteriors.data[0, 0, 0]) == (1, 0, 0, 0)
    np.testing.assert_allclose(posteriors.data.sum(axis=-1), 1, atol=1e-5)


def test_sidecars(made, scan):
    out = made()
    mask, posteriors = (json.loads((out / f"{name}.json").read_text()) for name in ("mask", "probseg"))
    for content in (mask, posteriors):
        assert content["Sources"] == ["sub-01_T1w.nii.gz"]
        assert content["SpatialReference"] == "sub-01_T1w.nii.gz"
        assert content["Source"]["SHA256"] == sha256_of(scan)
        assert content["Model"]["WeightsSHA256"] == sha256_of(out.parent / "models" / "finer.safetensors")
        assert content["Description"]
    assert mask["Type"] == "Brain"
    assert "left cortex, brainstem" in mask["Description"]
    assert posteriors["LabelMap"] == ["background", "right cortex", "left cortex", "brainstem"]
    assert posteriors["Channels"][1] == {"Volume": 1, "Label": 42, "Name": "right cortex", "Abbreviation": None}
    assert posteriors["Resolution"].startswith("1 mm isotropic")


@pytest.mark.parametrize("extension", [".mgz", ".npz"])
def test_posteriors_at_1_mm_are_nifti(scan, tmp_path, capsys, extension):
    out = tmp_path / f"p{extension}"
    assert main(["segment", str(scan), "--model", "tiny-random", "--posteriors-1mm", str(out)]) == 2
    assert "--posteriors-1mm: found" in capsys.readouterr().err


# One channel at a time


def test_same_file_as_all_channels_at_once(tmp_path):
    volume = reoriented(phantom(VOXEL_SIZE, SHAPE), (2, 0, 1), (False, True, False))
    scan = read_scan(write_nifti(tmp_path / "scan.nii.gz", volume, dtype="int16"))
    stack = np.random.default_rng(3).random((*SHAPE, 5))
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    for name in ("a.nii", "a.nii.gz"):
        write_volume(tmp_path / f"whole-{name}", Volume(stack, affine), like=scan, dtype=np.float32)
        write_channels(tmp_path / f"single-{name}", np.moveaxis(stack, -1, 0), 5, like=scan, affine=affine)
    assert (tmp_path / "single-a.nii").read_bytes() == (tmp_path / "whole-a.nii").read_bytes()
    first, second = (gzip.decompress((tmp_path / f"{name}-a.nii.gz").read_bytes()) for name in ("single", "whole"))
    assert first == second


def test_memory_of_one_channel(tmp_path):
    volume = phantom((1.0, 1.0, 1.0), (40, 50, 30))
    scan = Scan(volume, volume.voxel_size, tmp_path / "x.nii")
    channel = np.zeros(volume.shape, np.float32)
    tracemalloc.start()
    try:
        write_channels(tmp_path / "p.nii", (channel + n for n in range(30)), 30, like=scan, affine=volume.affine)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * channel.nbytes
    assert nib.load(tmp_path / "p.nii").shape == (40, 50, 30, 30)


def test_channels_of_other_formats(tmp_path):
    volume = phantom()
    scan = Scan(volume, volume.voxel_size, tmp_path / "x.nii")
    with pytest.raises(OutputError, match=r"expected \.nii or \.nii\.gz"):
        write_channels(tmp_path / "p.mgz", [], 0, like=scan, affine=volume.affine)


# The scan at 1 mm


def resample(scan, out, *words):
    return main(["resample", str(scan), "--resampled", str(out / "r.nii.gz"), "--sidecar", str(out / "r.json"), *words])


def test_scan_at_1_mm_lies_on_the_label_map(made, scan, tmp_path):
    labels = image(made(COARSE) / "dseg1.nii.gz")
    assert resample(scan, tmp_path, "--source", "bids:raw:x.nii.gz") == 0
    found = image(tmp_path / "r.nii.gz")
    assert found.data.shape == labels.data.shape
    np.testing.assert_array_equal(found.affine, labels.affine)
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["SkullStripped"] is False
    assert content["Sources"] == ["bids:raw:x.nii.gz"] == [content["SpatialReference"]]
    assert content["Source"]["SHA256"] == sha256_of(scan)
    assert "interpolated" in content["Description"]
    assert content["Resolution"].startswith("1 mm")


def test_scan_at_1_mm_is_what_a_network_at_1_mm_is_given(scan, tmp_path):
    result = segment_scan(read_scan(scan), load_models(load_card(TINY.write(tmp_path))), SegmentOptions())
    volume, interpolated = scan_at(read_scan(scan), 1.0)
    assert interpolated
    np.testing.assert_array_equal(volume.data, result.resampled.data)
    np.testing.assert_array_equal(volume.affine, result.resampled.affine)


def test_scan_that_is_almost_at_1_mm_is_brought_there(tmp_path):
    """A network takes it as it is; a file that says res-1mm must be at 1 mm."""
    path = write_nifti(tmp_path / "scan.nii.gz", phantom((0.97, 1.0, 1.03), SHAPE))
    assert resample(path, tmp_path) == 0
    np.testing.assert_allclose(nib.load(tmp_path / "r.nii.gz").header.get_zooms(), 1, atol=1e-6)


def test_scan_at_1_mm_already_keeps_its_voxels(tmp_path):
    path = write_nifti(tmp_path / "scan.nii.gz", phantom((1.0, 1.0, 1.0), SHAPE))
    assert resample(path, tmp_path) == 0
    np.testing.assert_array_equal(image(tmp_path / "r.nii.gz").data, image(path).data)
    assert "on its own grid" in json.loads((tmp_path / "r.json").read_text())["Description"]


def test_reason_of_a_failure_is_kept(tmp_path, capsys):
    log = tmp_path / "reason.json"
    assert resample(tmp_path / "none.nii.gz", tmp_path, "--log-json", str(log)) == 2
    assert json.loads(log.read_text())["found"] == "no such file"
    assert main(["resample", "x.nii", "--log-json", str(log)]) == 2
    assert json.loads(log.read_text())["found"] == "no output"
    assert "synthseg resample: error:" in capsys.readouterr().err


def test_warnings_of_the_scan_are_passed_on(tmp_path, capsys):
    volume = phantom((1.0, 1.0, 1.0), SHAPE)
    volume.data[2, 3, 4] = np.nan
    assert resample(write_nifti(tmp_path / "scan.nii.gz", volume), tmp_path) == 0
    (warning,) = json.loads((tmp_path / "r.json").read_text())["Warnings"]
    assert warning in capsys.readouterr().err
