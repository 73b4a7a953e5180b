"""``synthseg segment`` as a user types it: every output, every option, every mistake."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from synthseg_core.cli.main import main
from synthseg_core.images import checks
from synthseg_core.images.reading import read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import default_model, load_card
from synthseg_core.networks.config import UNetConfig
from synthseg_core.segmentation.class_maps import MadeFrom, read_class_maps
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions
from synthseg_core.system.file_identity import sha256_of
from tests.phantoms.models import COARSE, PARCELLATION, STRUCTURE_LABELS, TINY, WHOLE
from tests.phantoms.scans import phantom, reoriented, write_nifti
from tests.privileges import ordinary_user

IMAGES = ("dseg", "dseg-1mm", "posteriors", "resampled")
EXTENSIONS = {
    **dict.fromkeys(IMAGES, ".nii.gz"),
    "volumes": ".tsv",
    "sidecar": ".json",
    "decision": ".npz",
}
VOXEL_SIZE, SHAPE = (1.1, 0.8, 2.4), (19, 26, 11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def card(folder) -> Path:
    return TINY.write(folder)


@pytest.fixture(autouse=True)
def small_heads(monkeypatch):
    """The phantoms are smaller than any brain; the warning about that has tests of its own."""
    monkeypatch.setattr(checks, "SMALL_EXTENT_MM", 1.0)


@pytest.fixture(autouse=True)
def one_thread():
    """The option sets the threads of the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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


def _outputs(folder: Path, names=tuple(EXTENSIONS)) -> list[str]:
    words = [[f"--{name}", str(folder / f"{name}{EXTENSIONS[name]}")] for name in names]
    return [word for pair in words for word in pair]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.exists() else {}


def _image(path: Path) -> Volume:
    image = nib.load(path)
    return Volume(np.asarray(image.dataobj), image.affine)


@pytest.fixture
def everything(segment, scan, tmp_path) -> Path:
    out = tmp_path / "out"
    assert segment(scan, *_outputs(out), "--threads", 1) == (0, "")
    return out


def test_every_output_and_nothing_else(everything):
    assert set(_files(everything)) == {f"{name}{extension}" for name, extension in EXTENSIONS.items()}


def test_outputs_are_those_of_the_library(everything, scan, card):
    """Each flag writes what it says, with the numbers of the function on arrays."""
    torch.set_num_threads(1)
    source = read_scan(scan)
    result = segment_scan(source, load_models(load_card(card)))
    grids = {"dseg": result.record.source, "dseg-1mm": result.record.isotropic_grid(1.0)}
    expected = {name: result.label_map_on(grid) for name, grid in grids.items()}
    expected |= {"posteriors": result.posteriors, "resampled": result.resampled}
    for name in IMAGES:
        found = _image(everything / f"{name}.nii.gz")
        np.testing.assert_allclose(found.data, expected[name].data, rtol=1e-6)
        np.testing.assert_allclose(found.affine, expected[name].affine, atol=1e-5)
    types = {name: nib.load(everything / f"{name}.nii.gz").get_data_dtype().name for name in IMAGES}
    assert types == {"dseg": "int32", "dseg-1mm": "int32", "posteriors": "float32", "resampled": "float32"}
    assert (everything / "volumes.tsv").read_text() == result.volumes.to_tsv()
    decision = read_class_maps(everything / "decision.npz")
    np.testing.assert_array_equal(decision.channels, result.decision)
    np.testing.assert_array_equal(decision.labels(), result.structures)
    cortex = {row.label: row.soft_mm3 for row in result.volumes.rows}
    assert decision.cortex_mm3 == {"left": cortex[3], "right": cortex[42]}
    weights = load_models(load_card(card)).segmentation.weights.sha256
    assert decision.basis == MadeFrom("tiny", STRUCTURE_LABELS, weights, sha256_of(scan))
    assert decision.record.to_json() == result.record.to_json()


def test_grids_of_the_images(everything, scan):
    source, native = nib.load(scan), nib.load(everything / "dseg.nii.gz")
    assert native.shape == source.shape == (26, 11, 19)
    np.testing.assert_allclose(native.affine, source.affine, atol=1e-6)
    one_mm = nib.load(everything / "dseg-1mm.nii.gz")
    np.testing.assert_allclose(one_mm.header.get_zooms(), 1, atol=1e-6)
    assert one_mm.shape == (21, 27, 21)
    assert nib.load(everything / "posteriors.nii.gz").shape == (21, 27, 21, 4)
    assert nib.load(everything / "resampled.nii.gz").shape == (21, 27, 21)
    assert (int(one_mm.header["sform_code"]), int(one_mm.header["qform_code"])) == (2, 0)


def test_volumes_table(everything):
    lines = [line.split("\t") for line in (everything / "volumes.tsv").read_text().splitlines()]
    assert lines[0] == ["index", "name", "hemisphere", "soft_volume_mm3", "hard_volume_mm3"]
    assert [line[:3] for line in lines[1:]] == [
        ["n/a", "total intracranial", "n/a"],
        ["3", "left cortex", "left"],
        ["16", "brainstem", "n/a"],
        ["42", "right cortex", "right"],
    ]
    labels = _image(everything / "dseg-1mm.nii.gz").data
    assert [float(line[4]) for line in lines[2:]] == [float((labels == label).sum()) for label in (3, 16, 42)]


def test_sidecar(everything, scan, folder):
    content = json.loads((everything / "sidecar.json").read_text())
    assert content["Sources"] == ["sub-01_T1w.nii.gz"]
    assert content["Source"]["SHA256"] == sha256_of(scan)
    assert content["Model"]["WeightsSHA256"] == sha256_of(folder / "tiny.safetensors")
    assert content["Warnings"] == []
    assert content["Options"] == {"Fast": False, "CT": False, "CropVoxels": None}


def test_same_input_same_bytes(segment, scan, everything, tmp_path):
    first = _files(everything)
    second = tmp_path / "again"
    assert segment(scan, *_outputs(second), "--threads", 1)[0] == 0
    assert _files(second) == first
    assert segment(scan, *_outputs(everything), "--threads", 1)[0] == 0
    assert _files(everything) == first


@pytest.mark.parametrize("name", EXTENSIONS)
def test_each_output_alone(segment, scan, everything, tmp_path, name):
    out = tmp_path / "deep" / "er"
    assert segment(scan, *_outputs(out, (name,)), "--threads", 1) == (0, "")
    assert _files(out) == {f"{name}{EXTENSIONS[name]}": _files(everything)[f"{name}{EXTENSIONS[name]}"]}


@pytest.mark.parametrize("extension", [".nii", ".mgz", ".npz"])
def test_formats(segment, scan, everything, tmp_path, extension):
    words = [word for name in IMAGES for word in (f"--{name}", tmp_path / f"{name}{extension}")]
    assert segment(scan, *words, "--threads", 1) == (0, "")
    for name in IMAGES:
        path, expected = tmp_path / f"{name}{extension}", _image(everything / f"{name}.nii.gz")
        if extension == ".npz":
            with np.load(path) as content:
                np.testing.assert_array_equal(content["vol_data"], expected.data)
        else:
            np.testing.assert_array_equal(_image(path).data, expected.data)
            np.testing.assert_allclose(_image(path).affine, expected.affine, atol=1e-4)


@pytest.mark.parametrize("extension", [".mgz", ".npz", ".nii"])
def test_scans_of_every_format(segment, tmp_path, extension):
    from synthseg_core.images.writing import write_volume

    volume = phantom((1.0, 1.0, 1.0), SHAPE)
    path = tmp_path / f"scan{extension}"
    write_volume(path, volume, dtype=np.float32)
    assert segment(path, "--dseg", tmp_path / "dseg.nii.gz") == (0, "")
    assert _image(tmp_path / "dseg.nii.gz").shape == SHAPE


def test_resampled_image_of_a_fitting_scan_is_the_scan(segment, tmp_path):
    volume = phantom((1.0, 1.0, 1.0), SHAPE)
    path = write_nifti(tmp_path / "scan.nii.gz", volume)
    assert segment(path, "--resampled", tmp_path / "resampled.nii.gz") == (0, "")
    found, source = (_image(tmp_path / f"{name}.nii.gz") for name in ("resampled", "scan"))
    np.testing.assert_array_equal(found.data, source.data)
    np.testing.assert_array_equal(found.affine, source.affine)


def test_model_of_ones_own_with_its_spacing(segment, scan, tmp_path):
    card = COARSE.write(tmp_path / "mine")
    assert segment(scan, *_outputs(tmp_path / "out"), model=card) == (0, "")
    shapes = {name: nib.load(tmp_path / "out" / f"{name}.nii.gz").shape for name in IMAGES}
    assert shapes == {
        "dseg": (26, 11, 19),
        "dseg-1mm": (21, 27, 21),
        "posteriors": (11, 14, 11, 4),
        "resampled": (11, 14, 11),
    }
    for name in ("dseg", "dseg-1mm"):
        assert set(np.unique(_image(tmp_path / "out" / f"{name}.nii.gz").data)) == set(STRUCTURE_LABELS)
    assert json.loads((tmp_path / "out" / "sidecar.json").read_text())["Network"]["VoxelSizeMm"] == 2.0


def test_registered_model_by_name(segment, scan, tmp_path):
    assert segment(scan, "--dseg", tmp_path / "dseg.nii.gz", model="tiny-random")[0] == 0
    assert set(np.unique(_image(tmp_path / "dseg.nii.gz").data)) <= {0, 2, 24, 41}


def test_options_arrive(segment, scan, tmp_path, monkeypatch):
    import synthseg_core.segmentation.segment as library

    seen, real = {}, library.segment_scan
    monkeypatch.setattr(library, "segment_scan", lambda s, m, o: (seen.update(options=o), real(s, m, o))[1])
    words = ("--fast", "--ct", "--crop", 16, 24, 8, "--sidecar", tmp_path / "s.json", "--source", "bids:raw:x.nii.gz")
    assert segment(scan, *words, "--threads", 1, "--device", "cpu")[0] == 0
    assert seen["options"] == SegmentOptions(fast=True, ct=True, crop=(16, 24, 8))
    assert torch.get_num_threads() == 1
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["Options"] == {"Fast": True, "CT": True, "CropVoxels": [16, 24, 8]}
    assert content["Sources"] == ["bids:raw:x.nii.gz"]


def test_weights_of_ones_own(segment, scan, card, folder, tmp_path):
    replace(TINY, seed=5).write(tmp_path / "mine")
    words = ("--dseg", tmp_path / "mine.nii.gz", "--sidecar", tmp_path / "mine.json", "--weights", tmp_path / "mine")
    assert segment(scan, *words)[0] == 0
    content = json.loads((tmp_path / "mine.json").read_text())
    assert content["Model"]["WeightsSHA256"] == sha256_of(tmp_path / "mine" / "tiny.safetensors")
    assert content["Model"]["WeightsSHA256"] != sha256_of(folder / "tiny.safetensors")


def _several(path: Path, count: int = 3) -> Path:
    volume = phantom((1.0, 1.0, 1.0), SHAPE)
    stack = np.stack([volume.data * (n + 1) + 7 * n for n in range(count)], axis=-1)
    return write_nifti(path, Volume(stack, volume.affine))


def test_4d_file(segment, tmp_path):
    path = _several(tmp_path / "bold.nii.gz")
    status, said = segment(path, *_outputs(tmp_path / "first", ("dseg", "sidecar")))
    assert status == 0
    (line,) = said.splitlines()
    assert line.startswith(f"synthseg segment: warning: {path}: ")
    assert "3 volumes" in line
    sidecar = json.loads((tmp_path / "first" / "sidecar.json").read_text())
    assert sidecar["Warnings"] == [line.removeprefix(f"synthseg segment: warning: {path}: ")]
    assert sidecar["Source"]["Volume"] is None
    assert nib.load(tmp_path / "first" / "dseg.nii.gz").shape == SHAPE


def test_chosen_volume_of_a_4d_file(segment, tmp_path):
    path = _several(tmp_path / "bold.nii.gz")
    status, said = segment(path, *_outputs(tmp_path / "last", ("resampled", "sidecar")), "--volume", 2)
    assert (status, said) == (0, "")
    assert json.loads((tmp_path / "last" / "sidecar.json").read_text())["Source"]["Volume"] == 2
    np.testing.assert_array_equal(
        _image(tmp_path / "last" / "resampled.nii.gz").data, np.asarray(nib.load(path).dataobj)[..., 2]
    )
    assert segment(path, "--dseg", tmp_path / "x.nii.gz", "--volume", 3)[0] == 2


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


def test_no_output(failing):
    record = failing()
    assert record["found"] == "no output"
    assert all(f"--{name}" in record["expected"] for name in EXTENSIONS)


@pytest.mark.parametrize("second", ["out/a.nii.gz", "./out/a.nii.gz", "out/../out/a.nii.gz", "link/a.nii.gz"])
def test_one_file_for_two_outputs(segment, scan, tmp_path, monkeypatch, second):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    status, said = segment(scan, "--dseg", "out/a.nii.gz", "--dseg-1mm", second)
    assert status == 2
    assert f"error: --dseg-1mm: found {Path(second)}, which is --dseg too; expected a file of its own" in said
    assert _files(tmp_path / "out") == {}


@pytest.mark.parametrize("flag", ["--dseg", "--posteriors", "--sidecar", "--log-json"])
@pytest.mark.parametrize("how", ["same", "link", "around"])
def test_output_over_the_scan(segment, scan, flag, how):
    """The most expensive slip of all: the raw scan would be gone."""
    before, target = scan.read_bytes(), scan
    if how == "link":
        target = scan.with_name("link.nii.gz")
        target.symlink_to(scan)
    if how == "around":
        target = scan.parent / ".." / scan.parent.name / scan.name
    status, said = segment(scan, flag, target)
    assert status == 2
    assert f"error: {flag}: found {target}, which is the scan too" in said
    assert scan.read_bytes() == before


def test_links_in_a_circle(segment, scan, tmp_path):
    loop = tmp_path / "loop.nii.gz"
    loop.symlink_to(loop)
    status, said = segment(loop, "--dseg", tmp_path / "d.nii.gz")
    assert status == 2
    assert f"error: {loop}: found a symbolic link to nothing" in said
    assert segment(scan, "--dseg", loop) == (0, "")
    assert _image(loop).data.shape == nib.load(scan).shape


def test_output_over_the_log(segment, scan, tmp_path):
    log = tmp_path / "one.json"
    log.write_text("earlier")
    status, said = segment(scan, "--sidecar", log, "--log-json", log)
    assert status == 2
    assert "--log-json: found" in said
    assert "which is --sidecar too" in said
    assert log.read_text() == "earlier"


@pytest.mark.parametrize("name", EXTENSIONS)
@pytest.mark.parametrize("file", ["a.img", "a", "a.nii.bz2", "3", "a.nii.gz.txt"])
def test_unknown_extension(failing, tmp_path, name, file):
    """``--volumes 3`` in place of ``--volume 3`` makes no file called 3."""
    record = failing(f"--{name}", tmp_path / "out" / file)
    assert record["subject"] == f"--{name}"
    assert EXTENSIONS[name] in record["expected"]


def test_unknown_model(failing, tmp_path):
    record = failing("--dseg", tmp_path / "out" / "d.nii.gz", model="synthseg-9")
    assert record["error"] == "ModelError"
    assert "synthseg-2.0" in record["expected"]


def test_model_for_something_else(failing, tmp_path):
    record = failing("--dseg", tmp_path / "out" / "d.nii.gz", model=PARCELLATION.write(tmp_path / "mine"))
    assert record["found"] == "a model for parcellation"


def test_missing_weights_name_the_command_that_fetches_them(failing, tmp_path):
    record = failing("--dseg", tmp_path / "out" / "d.nii.gz", "--weights", tmp_path / "none", model="synthseg-2.0")
    assert record["error"] == "WeightsError"
    assert record["subject"] == "model synthseg-2.0"
    assert "synthseg models fetch synthseg-2.0" in record["remedy"]
    assert str(tmp_path / "none") in record["found"]


def test_without_a_model_the_default_one_is_taken(failing, tmp_path):
    record = failing("--dseg", tmp_path / "out" / "d.nii.gz", "--weights", tmp_path / "none", model=None)
    assert record["subject"] == f"model {default_model()}"


def test_weights_of_another_network(failing, tmp_path):
    wide = replace(TINY.networks[0], config=UNetConfig(out_channels=4, features=5, levels=3))
    replace(TINY, networks=(wide,)).write(tmp_path / "mine")
    record = failing("--dseg", tmp_path / "out" / "d.nii.gz", "--weights", tmp_path / "mine")
    assert record["error"] == "WeightsError"
    assert "instead of" in record["found"]


@pytest.mark.parametrize(
    ("words", "subject"),
    [
        (("--threads", 0), "--threads"),
        (("--threads", -2), "--threads"),
        (("--threads", 100_000), "--threads"),
        (("--device", "nonsense"), "--device"),
        (("--device", "cpu:x"), "--device"),
        (("--device", "cuda:77"), "--device"),
    ],
)
def test_options_that_cannot_be_honoured(failing, tmp_path, words, subject):
    assert failing("--dseg", tmp_path / "out" / "d.nii.gz", *words)["subject"] == subject


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), "empty file"),
        (lambda path: path.write_text("<html>"), "web page"),
        (lambda path: write_nifti(path, Volume(np.zeros(SHAPE), np.eye(4))), "0 in every voxel"),
        (lambda path: write_nifti(path, Volume(np.ones((20, 20)), np.eye(4))), "2-D image"),
        (lambda path: write_nifti(path, Volume(phantom().data, np.diag([0.001, 1, 1, 1.0]))), "voxels of 0.001 x 1"),
    ],
    ids=["missing", "empty", "page", "constant", "2-D", "voxel size"],
)
def test_bad_scans(failing, tmp_path, make, found):
    path = tmp_path / "bad.nii.gz"
    make(path)
    record = failing("--dseg", tmp_path / "out" / "d.nii.gz", scan=path)
    assert record["subject"] == str(path)
    assert found in record["found"]
    assert record["error"] in ("InputError", "GeometryError")


def test_volume_number_that_is_not_there(failing, tmp_path):
    record = failing("--dseg", tmp_path / "out" / "d.nii.gz", "--volume", 1)
    assert "number 1 was asked for" in record["found"]


def test_unwritable_output(card, capsys):
    with ordinary_user() as place:
        scan = write_nifti(place / "scan.nii.gz", phantom(shape=SHAPE))
        model = TINY.write(place / "models")
        (place / "closed").mkdir(mode=0o500)
        out = place / "closed" / "d.nii.gz"
        status = main(["segment", str(scan), "--model", str(model), "--dseg", str(out)])
        assert status == 2
        assert re.search(
            rf"error: {out}: found permission denied; expected .*; correct the perm", capsys.readouterr().err
        )
        assert _files(place / "closed") == {}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("folder.nii.gz", "a folder of that name"),
        ("file/d.nii.gz", "not a directory"),
        ("file/a/d.nii", "not a directory"),
    ],
)
def test_output_that_cannot_be_written_is_found_before_the_work(failing, tmp_path, monkeypatch, name, found):
    import synthseg_core.segmentation.segment as library

    monkeypatch.setattr(library, "segment_scan", lambda *args: pytest.fail("segmented for nothing"))
    (tmp_path / "folder.nii.gz").mkdir()
    (tmp_path / "file").write_text("")
    record = failing("--dseg", tmp_path / name)
    assert (record["error"], record["subject"], record["found"]) == ("OutputError", str(tmp_path / name), found)


def test_reason_is_only_written_on_failure(segment, scan, tmp_path):
    log = tmp_path / "reason.json"
    log.write_text('{"error": "of an earlier attempt"}\n')
    assert segment(scan, "--dseg", tmp_path / "d.nii.gz", "--log-json", log)[0] == 0
    assert not log.exists()


def test_a_known_error_is_not_tried_twice_but_a_killed_attempt_is(segment, scan, tmp_path):
    log, dseg = tmp_path / "reason.json", tmp_path / "d.nii.gz"
    words = ("--dseg", dseg, "--log-json", log, "--attempt", "2")
    record = {"error": "InputError", "subject": "a.nii", "found": "an empty file", "expected": "a scan", "remedy": "y"}
    log.write_text(json.dumps(record) + "\n")
    status, said = segment(scan, *words)
    assert status == 2
    assert "an empty file" in said
    assert not dseg.exists()
    assert json.loads(log.read_text()) == record
    log.unlink()
    assert segment(scan, *words)[0] == 0
    assert dseg.exists()


@pytest.mark.parametrize("name", ["scan2.nii.gz", "notes.txt", "reason", "r.Json"])
def test_record_is_json_and_nothing_else_is_removed_for_it(segment, scan, tmp_path, name):
    (tmp_path / name).write_text("precious")
    status, said = segment(scan, "--dseg", tmp_path / "d.nii.gz", "--log-json", tmp_path / name)
    assert status == 2
    assert f"--log-json: found {tmp_path / name}; expected a name that ends with .json; " in said
    assert (tmp_path / name).read_text() == "precious"


def test_extensions_in_capitals(segment, scan, tmp_path):
    names = {name: tmp_path / f"{name}{extension}".upper() for name, extension in EXTENSIONS.items()}
    words = [word for name, path in names.items() for word in (f"--{name}", path)]
    assert segment(scan, *words, "--log-json", tmp_path / "REASON.JSON") == (0, "")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} >= {path.name for path in names.values()}
    source = nib.load(scan)
    found = nib.load(names["dseg"])
    assert found.shape == source.shape
    assert names["dseg"].read_bytes()[:2] == b"\x1f\x8b"


def test_unknown_error_leaves_its_reason_too(segment, scan, tmp_path, monkeypatch):
    import synthseg_core.segmentation.segment as library

    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr(library, "segment_scan", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        segment(scan, "--dseg", tmp_path / "d.nii.gz", "--log-json", tmp_path / "reason.json")
    record = json.loads((tmp_path / "reason.json").read_text())
    assert record == {"error": "RuntimeError", "subject": str(scan), "found": "a bug", "expected": "", "remedy": ""}


def test_reason_of_an_earlier_attempt_that_cannot_be_removed(card, capsys):
    with ordinary_user() as folder:
        log = folder / "closed" / "reason.json"
        log.parent.mkdir()
        log.write_text("{}")
        log.parent.chmod(0o555)
        words = ("a.nii", "--dseg", folder / "d.nii.gz", "--log-json", log, "--model", card)
        assert main(["segment", *map(str, words)]) == 2
    assert f"{log}: found permission denied; " in capsys.readouterr().err


def test_failure_without_a_record_of_it(segment, scan):
    status, said = segment(scan)
    assert status == 2
    assert said.startswith("synthseg segment: error: synthseg segment: found no output; ")


def test_record_that_cannot_be_written_does_not_hide_the_reason(segment, scan, tmp_path):
    (tmp_path / "file").write_text("")
    status, said = segment(
        scan, "--crop", 0, "--dseg", tmp_path / "d.nii.gz", "--log-json", tmp_path / "file" / "r.json"
    )
    assert status == 2
    warning, error = said.splitlines()
    assert warning.startswith("synthseg segment: warning: ")
    assert "r.json" in warning
    assert error.startswith("synthseg segment: error: --crop")


def test_failing_output_leaves_no_temporary_file(segment, scan, tmp_path, monkeypatch):
    """A write that breaks off in the middle, as when the disk is full, leaves neither a half file nor a temporary."""
    import errno

    import synthseg_core.images.writing as files

    def full(*args, **kwargs):
        Path(args[0]).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_write_image", full)
    status, said = segment(scan, *_outputs(tmp_path / "out"))
    assert status == 2
    assert "no space left on device" in said
    assert "free some space" in said
    assert _files(tmp_path / "out") == {}


def test_existing_output_survives_a_failure(segment, scan, tmp_path):
    out = tmp_path / "d.nii.gz"
    out.write_bytes(b"earlier result")
    assert segment(tmp_path / "missing.nii.gz", "--dseg", out)[0] == 2
    assert out.read_bytes() == b"earlier result"


def test_doubts_reach_stderr_and_sidecar(segment, scan, tmp_path):
    model = replace(TINY, name="doubtful", plausible_total_ml=(700.0, 2500.0)).write(tmp_path / "mine")
    status, said = segment(scan, "--sidecar", tmp_path / "s.json", model=model)
    assert status == 0
    warnings = json.loads((tmp_path / "s.json").read_text())["Warnings"]
    assert len(warnings) == 1
    assert "all structures together have" in warnings[0]
    assert said.splitlines() == [f"synthseg segment: warning: {scan}: {line}" for line in warnings]


def test_empty_segmentation_is_never_silent(segment, scan, tmp_path, monkeypatch):
    from synthseg_core.networks.unet_inference import UNetRunner

    def background(self, features):
        result = torch.zeros(4, *features.shape[2:])
        result[0] = 1
        return result

    monkeypatch.setattr(UNetRunner, "_posteriors", background)
    status, said = segment(scan, *_outputs(tmp_path / "out"))
    assert status == 0
    (line,) = said.splitlines()
    assert line.endswith("the segmentation is empty: no structure was found")
    warnings = json.loads((tmp_path / "out" / "sidecar.json").read_text())["Warnings"]
    assert warnings == ["the segmentation is empty: no structure was found"]
    assert not _image(tmp_path / "out" / "dseg.nii.gz").data.any()


def test_nan_voxels_are_replaced_and_counted(segment, tmp_path):
    volume = phantom((1.0, 1.0, 1.0), SHAPE)
    volume.data[2:4, 5, 6] = np.nan
    volume.data[3, 3, 3] = np.inf
    path = write_nifti(tmp_path / "scan.nii.gz", volume)
    status, said = segment(path, *_outputs(tmp_path / "out"))
    assert status == 0
    assert "3 of 5434 voxels" in said
    assert "nan" not in (tmp_path / "out" / "volumes.tsv").read_text()


def test_nothing_heavy_is_loaded_for_a_slip(tmp_path):
    """A usage error answers at once: without torch."""
    import subprocess
    import sys

    code = (
        "import sys; from synthseg_core.cli.main import main;"
        "status = main(['segment', 'x.nii.gz', '--crop', '0', '--dseg', 'a.nii']);"
        "sys.exit(3 if 'torch' in sys.modules else status)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("synthseg segment: error: --crop")
    assert run.stderr.count("\n") == 1


def test_companions_are_not_needed_for_a_segmentation(segment, scan, tmp_path):
    """A card may name companions that are not there; only asking for them is an error."""
    assert segment(scan, "--dseg", tmp_path / "d.nii.gz", model=WHOLE.write(tmp_path / "mine")) == (0, "")
