"""``synthseg parcellate`` and ``synthseg qc`` as a user types them, after ``synthseg segment``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from synthseg_core.cli.main import main
from synthseg_core.images import checks
from synthseg_core.images.reading import read_scan
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation import quality as quality_module
from synthseg_core.segmentation.class_maps import read_class_maps
from synthseg_core.segmentation.quality import QUALITY_COLUMNS
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions
from synthseg_core.system.file_identity import sha256_of
from synthseg_core.system.tables import read_tsv
from tests.phantoms.models import TINY, WHOLE, write_family
from tests.phantoms.scans import phantom, reoriented, write_nifti

VOXEL_SIZE, SHAPE = (1.1, 0.8, 2.4), (19, 26, 11)
PARCELS = {"dseg": "dseg.nii.gz", "dseg-1mm": "dseg-1mm.nii.gz", "volumes": "volumes.tsv", "sidecar": "sidecar.json"}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Phantoms are smaller than any brain, and the cube of 224 voxels takes a second."""
    monkeypatch.setattr(checks, "SMALL_EXTENT_MM", 1.0)
    monkeypatch.setattr(quality_module, "BOX_EDGE_MM", 48)


@pytest.fixture(autouse=True)
def one_thread():
    """The option sets the threads of the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def family(tmp_path_factory) -> Path:
    return write_family(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def segmented(family, tmp_path_factory) -> Path:
    """A folder with a scan and what ``segment`` made of it."""
    folder = tmp_path_factory.mktemp("segmented")
    scan = write_nifti(folder / "scan.nii.gz", reoriented(phantom(VOXEL_SIZE, SHAPE), (1, 2, 0), (True, False, True)))
    outputs = {"dseg": "seg.nii.gz", "dseg-1mm": "seg-1mm.nii.gz", "decision": "d.npz", "volumes": "v.tsv"}
    words = [str(word) for name, file in outputs.items() for word in (f"--{name}", folder / file)]
    assert main(["segment", str(scan), "--model", str(family), "--threads", "1", *words]) == 0
    return folder


@pytest.fixture
def folder(segmented, tmp_path) -> Path:
    """A copy of it that a test may change; its outputs go beside."""
    return Path(shutil.copytree(segmented, tmp_path / "in"))


def _parcellate_words(folder: Path, model, outputs=PARCELS) -> list[str]:
    words = [folder / "scan.nii.gz", "--decision", folder / "d.npz", "--segmentation", folder / "seg.nii.gz"]
    words += ["--segmentation-1mm", folder / "seg-1mm.nii.gz", "--model", model, "--threads", 1]
    words += [word for name in outputs for word in (f"--{name}", folder / "out" / PARCELS[name])]
    return ["parcellate", *map(str, words)]


def _qc_words(folder: Path, model) -> list[str]:
    words = ["--decision", folder / "d.npz", "--model", model, "--threads", 1, "--scores", folder / "out" / "s.tsv"]
    return ["qc", *map(str, words)]


WORDS = {"parcellate": _parcellate_words, "qc": _qc_words}


def _fails(capsys, words, folder: Path) -> dict[str, str]:
    """Run with a log of the reason; the line on stderr and the log say the same, and nothing else is left."""
    log = folder / "reason.json"
    assert main([*words, "--log-json", str(log)]) == 2
    streams = capsys.readouterr()
    reason = json.loads(log.read_text())
    sentence = "{subject}: found {found}; expected {expected}; {remedy}".format(**reason)
    assert streams.err == f"synthseg {words[0]}: error: {sentence}\n"
    assert streams.out == ""
    assert not list((folder / "out").glob("*"))
    return reason


def test_every_output_and_what_is_in_it(folder, family, capsys):
    """The numbers of the function on arrays, with both models in one process."""
    assert main(_parcellate_words(folder, family)) == 0
    assert capsys.readouterr() == ("", "")
    assert sorted(path.name for path in (folder / "out").iterdir()) == sorted(PARCELS.values())
    models = load_models(load_card(family), parcellation=True)
    together = segment_scan(read_scan(folder / "scan.nii.gz"), models)
    one_mm = nib.load(folder / "out/dseg-1mm.nii.gz")
    np.testing.assert_array_equal(np.asarray(one_mm.dataobj), together.label_map.data)
    native, before = nib.load(folder / "out/dseg.nii.gz"), nib.load(folder / "seg.nii.gz")
    np.testing.assert_array_equal(native.affine, before.affine)
    assert native.get_data_dtype() == one_mm.get_data_dtype() == np.int32
    found, labels = np.asarray(native.dataobj), np.asarray(before.dataobj)
    np.testing.assert_array_equal(found[~np.isin(labels, (3, 42))], labels[~np.isin(labels, (3, 42))])
    assert set(np.unique(found[labels == 3])) == {1001, 1005}
    lines = together.volumes.to_tsv().splitlines()
    parcels = [line for line in lines if line.split("\t")[0] in ("1001", "1005", "2001", "2005")]
    assert (folder / "out/volumes.tsv").read_text().splitlines() == [lines[0], *parcels]


def test_parcels_add_up_to_the_cortex_that_segment_wrote(folder, family):
    assert main(_parcellate_words(folder, family)) == 0
    cortex = {row["hemisphere"]: row for row in read_tsv(folder / "v.tsv", ()) if row["index"] in ("3", "42")}
    for side, row in cortex.items():
        parcels = [row for row in read_tsv(folder / "out/volumes.tsv", ()) if row["hemisphere"] == side]
        for column in ("soft_volume_mm3", "hard_volume_mm3"):
            assert sum(float(p[column]) for p in parcels) == pytest.approx(float(row[column]), abs=2e-3)


def test_sidecar_names_both_models_and_both_sources(folder, family):
    words = [*_parcellate_words(folder, family), "--source", "bids:raw:scan", "--segmentation-source", "bids::seg"]
    assert main(words) == 0
    content = json.loads((folder / "out/sidecar.json").read_text())
    assert (content["Sources"], content["SpatialReference"]) == (["bids:raw:scan", "bids::seg"], "bids:raw:scan")
    assert content["Model"]["Name"] == "parcels"
    assert content["Model"]["WeightsSHA256"] == sha256_of(family.parent / "parcels.safetensors")
    assert content["SegmentationModel"]["Name"] == "whole"
    assert content["SegmentationModel"]["WeightsSHA256"] == sha256_of(family.parent / "whole.safetensors")
    assert content["Source"]["SHA256"] == sha256_of(folder / "scan.nii.gz")
    assert content["Options"] == {"Fast": False, "CT": False, "CropVoxels": None}
    assert content["Warnings"] == []


def test_files_are_called_by_name_where_nothing_else_is_said(folder, family):
    assert main(_parcellate_words(folder, family)) == 0
    assert json.loads((folder / "out/sidecar.json").read_text())["Sources"] == ["scan.nii.gz", "seg.nii.gz"]


def test_same_input_same_bytes(folder, family):
    contents = []
    for _ in range(2):
        assert main(_parcellate_words(folder, family)) == 0
        assert main(_qc_words(folder, family)) == 0
        contents.append({path.name: path.read_bytes() for path in (folder / "out").iterdir()})
        shutil.rmtree(folder / "out")
    assert contents[0] == contents[1]


@pytest.mark.parametrize("name", PARCELS)
def test_each_output_alone(folder, family, name):
    assert main(_parcellate_words(folder, family, [name])) == 0
    assert [path.name for path in (folder / "out").iterdir()] == [PARCELS[name]]


def test_options_of_the_segmentation_are_not_asked_for_again(folder, family):
    """CT, crop and the volume of a 4-D file come with the decision."""
    series = np.stack([nib.load(folder / "scan.nii.gz").get_fdata() * factor for factor in (0.1, -2.0)], axis=-1)
    scan = folder / "series.nii.gz"
    nib.save(nib.Nifti1Image(series.astype(np.float32), nib.load(folder / "scan.nii.gz").affine), scan)
    decision = folder / "d.npz"
    options = ["--model", str(family), "--volume", "1", "--ct", "--fast", "--crop", "16", "8", "16", "--threads", "1"]
    assert main(["segment", str(scan), *options, "--decision", str(decision), "--volumes", str(folder / "v.tsv")]) == 0
    words = ["parcellate", str(scan), "--decision", str(decision), "--model", str(family), "--threads", "1"]
    assert main([*words, "--sidecar", str(folder / "s.json"), "--volumes", str(folder / "p.tsv")]) == 0
    content = json.loads((folder / "s.json").read_text())
    assert content["Options"] == {
        "Fast": True,
        "CT": True,
        "CropVoxels": list(read_class_maps(decision).record.core_shape),
    }
    assert content["Source"]["Volume"] == 1
    models = load_models(load_card(family), parcellation=True)
    together = segment_scan(read_scan(scan, volume=1), models, SegmentOptions(fast=True, ct=True, crop=(16, 8, 16)))
    parcels = (folder / "p.tsv").read_text().splitlines()
    assert len(parcels) == 5
    assert set(parcels) <= set(together.volumes.to_tsv().splitlines())


def test_scores(folder, family, capsys):
    """Those of a run that makes everything at once; the scan is not there any more."""
    models = load_models(load_card(family), quality=True)
    expected = segment_scan(read_scan(folder / "scan.nii.gz"), models).quality
    (folder / "scan.nii.gz").unlink()
    assert main(_qc_words(folder, family)) == 0
    assert capsys.readouterr() == ("", "")
    rows = read_tsv(folder / "out/s.tsv", tuple(QUALITY_COLUMNS))
    assert list(rows[0]) == list(QUALITY_COLUMNS) == ["index", "name", "score"]
    assert expected is not None
    assert [(int(row["index"]), row["name"], float(row["score"])) for row in rows] == [
        (one.group, one.name, one.score) for one in expected
    ]


def test_segmentation_weights_are_not_needed_again(folder, family, tmp_path):
    beside = Path(shutil.copytree(family.parent, tmp_path / "models"))
    (beside / "whole.safetensors").unlink()
    for command in WORDS.values():
        assert main(command(folder, beside / family.name)) == 0


@pytest.mark.parametrize("command", WORDS)
def test_shipped_models_by_name(command, tmp_path):
    """What demonstrations and tests of the workflow use."""
    scan = write_nifti(tmp_path / "scan.nii.gz", phantom((2.0, 2.0, 2.5), (30, 33, 27)))
    outputs = {"dseg": "seg.nii.gz", "dseg-1mm": "seg-1mm.nii.gz", "decision": "d.npz"}
    words = [str(word) for name, file in outputs.items() for word in (f"--{name}", tmp_path / file)]
    assert main(["segment", str(scan), "--model", "tiny-random-cortex", "--threads", "1", *words]) == 0
    assert main(WORDS[command](tmp_path, "tiny-random-cortex")) == 0


@pytest.mark.parametrize("command", WORDS)
def test_model_without_a_companion(folder, tmp_path, capsys, command):
    reason = _fails(capsys, WORDS[command](folder, TINY.write(tmp_path / "m")), folder)
    assert (reason["error"], reason["subject"]) == ("ModelError", "model tiny")
    assert reason["expected"] == "what it offers: nothing beside the segmentation"


@pytest.mark.parametrize("command", WORDS)
def test_decision_of_another_model(folder, capsys, command):
    reason = _fails(capsys, WORDS[command](folder, "tiny-random-cortex"), folder)
    assert reason["subject"] == str(folder / "d.npz")
    assert reason["found"] == "a decision by model whole"


@pytest.mark.parametrize("command", WORDS)
@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", b"text"])
def test_bad_decision(folder, family, capsys, command, content):
    if content is None:
        (folder / "d.npz").unlink()
    else:
        (folder / "d.npz").write_bytes(content)
    reason = _fails(capsys, WORDS[command](folder, family), folder)
    assert (reason["error"], reason["subject"]) == ("InputError", str(folder / "d.npz"))
    assert reason["found"].startswith("no stored decision (")


@pytest.mark.parametrize(("command", "file"), [("parcellate", "parcels"), ("qc", "scores")])
def test_missing_weights(folder, family, tmp_path, capsys, command, file):
    beside = Path(shutil.copytree(family.parent, tmp_path / "models"))
    (beside / f"{file}.safetensors").unlink()
    reason = _fails(capsys, WORDS[command](folder, beside / family.name), folder)
    assert reason["error"] == "WeightsError"


@pytest.mark.parametrize("command", WORDS)
def test_companion_that_is_missing(folder, tmp_path, capsys, command):
    reason = _fails(capsys, WORDS[command](folder, WHOLE.write(tmp_path / "alone")), folder)
    assert reason["error"] == "ModelError"
    assert reason["found"] == "neither a registered model nor a card file"


def test_another_scan_on_the_same_grid(folder, family, capsys):
    """Another contrast of the same session: nothing in its header gives it away."""
    image = nib.load(folder / "scan.nii.gz")
    nib.save(nib.Nifti1Image(200 - image.get_fdata(dtype=np.float32), image.affine), folder / "scan.nii.gz")
    reason = _fails(capsys, _parcellate_words(folder, family), folder)
    assert (reason["subject"], reason["error"]) == (str(folder / "scan.nii.gz"), "InputError")
    assert reason["found"] == "another file than the one that was segmented"


@pytest.mark.parametrize("name", ["seg", "seg-1mm"])
def test_label_map_of_another_grid(folder, family, capsys, name):
    other = {"seg": "seg-1mm", "seg-1mm": "seg"}[name]
    words = [word.replace(f"/{name}.nii.gz", f"/{other}.nii.gz") for word in _parcellate_words(folder, family)]
    reason = _fails(capsys, words, folder)
    assert reason["error"] == "InputError"
    assert "a segmentation of this scan" in reason["expected"]


@pytest.mark.parametrize(("name", "needed"), [("dseg", "segmentation"), ("dseg-1mm", "segmentation-1mm")])
def test_label_map_without_the_segmentation_that_it_needs(folder, family, capsys, name, needed):
    words = ["parcellate", folder / "scan.nii.gz", "--decision", folder / "d.npz", "--model", family]
    words += [f"--{name}", folder / "out" / PARCELS[name]]
    reason = _fails(capsys, list(map(str, words)), folder)
    assert (reason["subject"], reason["found"]) == (f"--{name}", f"no --{needed}")


def test_no_output(folder, family, capsys):
    assert _fails(capsys, _parcellate_words(folder, family, []), folder)["found"] == "no output"


@pytest.mark.parametrize("file", ["scan.nii.gz", "d.npz", "seg.nii.gz"])
def test_output_over_an_input(folder, family, capsys, file):
    before = (folder / file).read_bytes()
    words = [*_parcellate_words(folder, family, ["volumes"]), "--dseg-1mm", str(folder / file)]
    assert main(words) == 2
    assert "expected a file of its own" in capsys.readouterr().err
    assert (folder / file).read_bytes() == before
    assert main([*_qc_words(folder, family), "--log-json", str(folder / "d.npz")]) == 2
    assert (folder / file).read_bytes() == before


def test_names_for_something_else(folder, family, capsys):
    words = _qc_words(folder, family)
    reason = _fails(capsys, [*words[:-1], str(folder / "out" / "s.csv")], folder)
    assert (reason["subject"], reason["expected"]) == ("--scores", "a name that ends with .tsv")


def test_doubts_reach_stderr_and_sidecar(folder, family, capsys):
    image = nib.load(folder / "scan.nii.gz")
    data = image.get_fdata(dtype=np.float32)
    data[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(data, image.affine), folder / "scan.nii.gz")
    scan, decision = str(folder / "scan.nii.gz"), str(folder / "d.npz")
    assert main(["segment", scan, "--model", str(family), "--decision", decision, "--threads", "1"]) == 0
    capsys.readouterr()
    assert main(_parcellate_words(folder, family, ["sidecar"])) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"synthseg parcellate: warning: {scan}: 1 of 5434 voxels")
    assert line.endswith(json.loads((folder / "out/sidecar.json").read_text())["Warnings"][0])


def test_nothing_heavy_is_loaded_for_a_slip(tmp_path):
    """Usage errors and bad decisions answer at once: without torch."""
    (tmp_path / "d.npz").write_text("nothing")
    for words in (["parcellate", "x.nii.gz", "--volumes", "v.tsv"], ["qc", "--scores", "s.tsv"]):
        code = (
            "import sys; from synthseg_core.cli.main import main;"
            f"status = main({[*words, '--decision', 'd.npz', '--model', 'tiny-random-cortex']});"
            "sys.exit(3 if 'torch' in sys.modules else status)"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert (run.returncode, run.stderr.count("\n")) == (2, 1), run.stderr
        assert run.stderr.startswith(f"synthseg {words[0]}: error: d.npz: found no stored decision")
